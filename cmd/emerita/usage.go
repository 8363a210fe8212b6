// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"strings"
)

const examples = `
Examples:
  emerita add -n /var/run/netns/test -c foo -i eth0 < config.json
  emerita check -n /var/run/netns/test -c foo -i eth0 config.json
  emerita del -c foo -i eth0 config.json
  emerita status /etc/cni/net.d/50-emerita.conflist
  emerita gc --dead /etc/cni/net.d/50-emerita.conflist
  CNI_COMMAND=VERSION emerita < /dev/null
`

const flagHelp = `
Flags:
  -n, --netns-path PATH    network namespace of the container
  -c, --container-id ID    identifier of the container
  -i, --interface IFNAME   name of the interface in the container
  -a, --args K=V;K=V       as CNI_ARGS, such as IP=10.88.0.9;MAC=02:00:00:00:00:09
      --cni-path DIRS      where delegated plugins are (default /opt/cni/bin)
      --plugin TYPE        which plugin of a list to run (default the first emerita)
`

const gcHelp = `      --keep ID/IFNAME     an attachment to keep; may be repeated
      --keep-none          remove every attachment of the network
      --dead               remove the attachments whose interface is gone
`

const flowsHelp = `
BYTES is what went from socket to socket, without what went by TCP.

Flags:
      --stop               no new ones, and present ones go over to TCP at their next message
      --start              let it go on, for new connections
`

const environment = `
CONFIG is a network configuration or a list of them (conflist); without it, or
with "-", it is read from stdin. Errors are CNI error objects on stdout.
EMERITA_LOG=debug|info|warn|error sets what is logged to stderr.
`

// usage is the help text of the program.
func usage() string {
	var b strings.Builder
	b.WriteString("emerita gives containers their network. It is a CNI plugin when CNI_COMMAND is\nset, else:\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  emerita %-8s %s\n", c.name, c.summary)
	}
	b.WriteString(examples)
	b.WriteString(environment)
	b.WriteString("\nemerita COMMAND --help lists the flags of a command.\n")
	return b.String()
}

// commandUsage is the help text of one command.
func commandUsage(c command) string {
	text := "usage: emerita " + strings.TrimSpace(c.name+" "+c.args) + "\n\n" + c.summary + "\n"
	if c.name == "flows" {
		text += flowsHelp
	}
	if c.needs&needConfig == 0 {
		return text
	}
	for line := range strings.Lines(flagHelp) {
		if c.needs&needContainer != 0 || !strings.HasPrefix(line, "  -") {
			text += line
		}
	}
	if c.name == "gc" {
		text += gcHelp
	}
	return text + environment
}
