// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// pathReportName is the name, without its ending, of every file of the report.
const pathReportName = "datapath"

// writePathReport prints the tables and writes report, raw data and plots.
func writePathReport(dir string, r *pathResults, stdout io.Writer) error {
	raw, err := r.encode()
	if err != nil {
		return err
	}
	base := filepath.Join(dir, pathReportName)
	if err := writeFiles(base, pathTables(r), raw, pathMarkdown(r), stdout); err != nil {
		return err
	}
	return writePathPlots(base, r)
}

func pathMarkdown(r *pathResults) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# The data path

Written by `+"`make bench`"+`; do not edit. Raw samples: [%[1]s.json](%[1]s.json).

![Throughput and latency relative to bridge](%[1]s.svg)

%[2]s| the host's congestion control | %[3]s |
| eBPF on what the client sends | %[4]s |

Each variant has a host of its own, made of network and mount namespaces, with two containers and an uplink to a namespace
that stands for the outside. Per round and figure the variants take turns; n = %[5]d. A sample is two new processes, each a thread
that does nothing but system calls; after a warm-up of %[6]v it counts for %[7]v (streams), after %[8]v for %[9]v (the rest). One flow has
its client on one CPU and its server on another; of request/response "same CPU" shows the network stack, "cross CPU" the
wake-ups of the machine as well. emerita has "fastPath": "auto" and "device": "veth", "-off" has "fastPath": "off", "-local"
"bigTCP": "local", "-big" "bigTCP": 524280, "-masq" ipMasq, which upstream does with iptables; loopback is one namespace talking to itself. Streams write 128 KiB at a time unless stated, and count what is received; a connection is
connect, one byte each way, close. Compare within one run: absolute figures belong to the machine.
`, pathReportName, r.Machine.markdown(), r.Congestion, orNobody(r.Programs), r.Plan.Rounds,
		r.Plan.StreamWarmUp, r.Plan.StreamWindow, r.Plan.WarmUp, r.Plan.Window)
	for _, t := range pathTables(r) {
		t.markdown(&b)
	}
	writeList(&b, "Failures", r.Failures)
	return b.String()
}

func orNobody(variants []string) string {
	if len(variants) == 0 {
		return "none"
	}
	return strings.Join(variants, ", ")
}
