// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// socketReportName is the name, without its ending, of every file of the report.
const socketReportName = "sockets"

// writeSocketReport prints the tables and writes report, raw data and plots.
func writeSocketReport(dir string, r *pathResults, stdout io.Writer) error {
	raw, err := r.encode()
	if err != nil {
		return err
	}
	base := filepath.Join(dir, socketReportName)
	if err := writeFiles(base, socketTables(r), raw, socketMarkdown(r), stdout); err != nil {
		return err
	}
	return writeSocketPlots(base, r)
}

func socketMarkdown(r *pathResults) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Socket acceleration

Written by `+"`make bench BENCHFLAGS=sockets`"+`; do not edit. Raw samples: [%[1]s.json](%[1]s.json).

![Latency, streams and connections relative to bridge](%[1]s.svg)

%[2]s| the host's congestion control | %[3]s |
| eBPF on what the client sends | %[4]s |
| requests of 1 B, same CPU, that went past TCP | %[5]s |

TCP between two containers of one network: loopback is one namespace talking to itself, emerita has "socketAcceleration" false,
emerita-accelerated true, and emerita-beside false, on the host of emerita-accelerated. All have "device": "veth" and no ipMasq.
Each host has network, mount and cgroup namespaces of its own. One program of acceleration sees what every socket of the machine
reads, so the host that has it is made anew for each figure of a round, after the variants without it were measured, in every other round
before; n = %[6]d.

A sample is two new processes, each a thread that does nothing but system calls; after a warm-up of %[7]v it counts for %[8]v (streams),
after %[9]v for %[10]v (the rest). "same CPU" has client and server on one CPU, which shows the work, "cross CPU" on two, with the
wake-ups of the machine as well. Streams write 128 KiB at a time with the host's congestion control, unless stated, and count what is received. A
connection is connect, a byte each way as often as it has round trips, close. Listeners are of IPv4 and not of MPTCP, unless stated: a Go
program's of ":80" is dual-stack and of MPTCP. Whether a request went past TCP is told by the segments that its socket sent.
Compare within one run: absolute figures belong to the machine.
`, socketReportName, r.Machine.markdown(), r.Congestion, orNobody(r.Programs), directText(r), r.Plan.Rounds,
		r.Plan.StreamWarmUp, r.Plan.StreamWindow, r.Plan.WarmUp, r.Plan.Window)
	for _, t := range socketTables(r) {
		t.markdown(&b)
	}
	writeList(&b, "Failures", r.Failures)
	return b.String()
}

// directText says of which variants requests went past TCP.
func directText(r *pathResults) string {
	var parts []string
	for _, v := range r.Plan.Variants {
		if s := r.find(pathKey{"turns-same", v}); s != nil && len(s.Direct) > 0 {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", v, summarize(s.Direct).median*100))
		}
	}
	return orNobody(parts)
}
