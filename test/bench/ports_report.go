// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// portsReportName is the name, without its ending, of every file of the report.
const portsReportName = "ports"

// writePortsReport prints the tables and writes report, raw data and plots.
func writePortsReport(dir string, r *portsResults, stdout io.Writer) error {
	raw, err := r.encode()
	if err != nil {
		return err
	}
	base := filepath.Join(dir, portsReportName)
	if err := writeFiles(base, portsTables(r), raw, portsMarkdown(r), stdout); err != nil {
		return err
	}
	return writePortsPlots(base, r)
}

func portsMarkdown(r *portsResults) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Published ports

Written by `+"`make bench`"+`; do not edit. Raw samples: [%[1]s.json](%[1]s.json).

![ADD with published ports, and connections through them](%[1]s.svg)

%[2]s| nft | %[3]s |
| file system of reservations and records | %[4]s |

emerita serves the capability portMappings itself. portmap-iptables and portmap-nftables are bridge with portmap behind it, called as
libcni does: portmap gets the result of bridge, DEL goes the other way round, and the time is the sum of both. Mappings are tcp, 20000+i of the host
to 8000+i of the container, without hostIP. No variant has ipMasq; portmap has its defaults but for the backend. Each variant has
a host of its own for each number of published ports, made of network and mount namespaces with an uplink to a namespace that stands
for the outside; all of them take turns, round by round, with a pause of %[5]v after each call. Published ports belong to containers with
up to %[6]d each, which suits portmap's iptables: its first chain has one rule for 15 ports of a container. The first rounds (%[7]d) of calls, in
which a plugin makes what all containers share, are not counted.

A sample of connections, for which each round begins with another host, is two new processes, each a thread that does nothing but system calls; after a warm-up of %[8]v it counts for %[9]v; n = %[10]d.
The server is behind the port in the middle of those published. A connection is connect, one byte each way, close. "same CPU" shows the network
stack, "cross CPU" the wake-ups of the machine as well. direct is bridge without a published port or any rule, reached by the container's address.
From the host, emerita's client calls the container itself, and its ports are not used again for a minute; those of 127.0.0.1 are, after a second
(tcp_tw_reuse 2). So after some 28,000 connections in a minute it has to search for a port: its slowest rounds are that.
Compare within one run: absolute figures belong to the machine.
`, portsReportName, r.Machine.markdown(), orNone(r.Machine.NFT), r.Machine.Filesystem, r.Plan.Settle, r.Plan.Each,
		r.Plan.WarmUp, r.Plan.ConnWarm, r.Plan.Window, r.Plan.Rounds)
	for _, t := range portsTables(r) {
		t.markdown(&b)
	}
	writeList(&b, "Skipped", r.Skipped)
	writeList(&b, "Failures", r.Failures)
	return b.String()
}
