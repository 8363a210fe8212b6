// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// run is the program: it returns the exit status. Arguments make it the command
// line, CNI_COMMAND without arguments the plugin.
func run(e env, args []string) (status int) {
	if _, err := e.logLevel(); err != nil {
		fmt.Fprintln(e.stderr, "emerita:", err)
	}
	if len(args) == 0 && e.getenv("CNI_COMMAND") != "" {
		return runPlugin(e)
	}
	return runCommand(e, args)
}

// report writes err as a CNI error object to stdout, where runtimes look for
// it, and returns the exit status.
func report(e env, err error, cniVersion string) int {
	if err == nil {
		return 0
	}
	if werr := cniproto.AsError(err).Encode(e.stdout, cniVersion); werr != nil || e.mute {
		fmt.Fprintln(e.stderr, "emerita:", err)
	}
	return 1
}

// guard turns a panic into a CNI error: the runtime must get one whatever
// happens, and the trace belongs on stderr.
func guard(e env, cniVersion *string, status *int) {
	if r := recover(); r != nil {
		*status = report(e, cniproto.Errorf(cniproto.CodeInternal, "internal error", "panic: %v: please report it", r), *cniVersion)
	}
}

// maxConfig bounds what is read as a network configuration, bytes.
const maxConfig = 16 << 20

func readConfig(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err == nil && len(raw) > maxConfig {
		err = fmt.Errorf("longer than %d bytes", maxConfig)
	}
	return raw, cniproto.Wrap(cniproto.CodeIO, "read network configuration", err)
}
