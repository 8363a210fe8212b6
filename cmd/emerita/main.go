// SPDX-License-Identifier: MIT OR Apache-2.0

// Command emerita is a CNI plugin: it gives containers their network. Run by a
// container runtime (CNI_COMMAND is set) it speaks the CNI protocol, else it is
// the operator's command line to the same verbs.
package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// version is set by the linker.
var version = "dev"

func main() {
	unix.Umask(0o077) // whatever the runtime's is, state is for root only
	os.Exit(run(processEnv(), os.Args[1:]))
}
