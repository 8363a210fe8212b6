// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/endpoint"
)

// command is one verb of the command line.
type command struct {
	name    string
	args    string // as shown in the usage line
	summary string
	needs   needs
	run     func(env, *flags) error
}

// commands are in the order of the help text.
func commands() []command {
	return []command{
		{"add", "-n NETNS -c ID -i IFNAME [CONFIG]", "connect a container, and print the CNI result", needContainer | needNetns | needConfig, addCommand},
		{"del", "[-n NETNS] -c ID -i IFNAME [CONFIG]", "disconnect a container; also one that is gone", needContainer | needConfig, delCommand},
		{"check", "-n NETNS -c ID -i IFNAME [CONFIG]", "compare a connected container with what add made", needContainer | needNetns | needConfig, checkCommand},
		{"status", "[CONFIG]", "say whether the network can take a container", needConfig, statusCommand},
		{"gc", "{--keep ID/IFNAME … | --keep-none | --dead} [CONFIG]", "remove what belongs to no container any more", needConfig, gcCommand},
		{"list", "", "list the connected containers, with what they sent and received", 0, listCommand},
		{"ports", "", "list the ports of the host that lead to containers", 0, portsCommand},
		{"flows", "[--stop | --start]", "list the connections that go from socket to socket; stop it at once", 0, flowsCommand},
		{"drops", "", "say what was dropped, for whom and why", 0, dropsCommand},
		{"install", "", "load the eBPF programs before the first container does", 0, installCommand},
		{"repair", "", "put back what containers share and somebody has removed", 0, repairCommand},
		{"version", "", "print the versions of emerita and of CNI", 0, versionCommand},
	}
}

// exitUsage is the status of a command line that makes no sense.
const exitUsage = 2

// exitPipe is a shell's status of a program that SIGPIPE has ended.
const exitPipe = 128 + int(unix.SIGPIPE)

// runCommand serves the operator.
func runCommand(e env, args []string) (status int) {
	current := cniproto.Current
	defer guard(e, &current, &status)
	if len(args) == 0 {
		fmt.Fprint(e.stderr, "emerita: give a command, or set CNI_COMMAND as a container runtime does\n\n"+usage())
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		if len(args) == 1 {
			fmt.Fprint(e.stdout, usage())
			return 0
		}
		args = []string{args[1], "--help"}
	case "-version", "--version":
		args = []string{"version"}
	case endpoint.ForgetFlowsCommand: // for ADD and DEL themselves
		return report(e, endpoint.ForgetFlows(args[1:]), current)
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		f, err := parseFlags(c, args[1:])
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(e.stdout, commandUsage(c))
			return 0
		}
		if err != nil {
			fmt.Fprintf(e.stderr, "emerita %s: %v\n\n%s", c.name, err, commandUsage(c))
			return exitUsage
		}
		err = c.run(e, f)
		if c.needs&needContainer == 0 && errors.Is(err, unix.EPIPE) {
			return exitPipe // whoever reads a list has seen enough
		}
		return report(e, err, f.cniVersion)
	}
	fmt.Fprintf(e.stderr, "emerita: unknown command %q\n\n%s", args[0], usage())
	return exitUsage
}
