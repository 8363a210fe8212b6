// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// bandwidthReportName is the name, without its ending, of every file of the report.
const bandwidthReportName = "bandwidth"

// writeBandwidthReport prints the tables and writes report, raw data and plots.
func writeBandwidthReport(dir string, r *bandwidthResults, stdout io.Writer) error {
	raw, err := r.encode()
	if err != nil {
		return err
	}
	base := filepath.Join(dir, bandwidthReportName)
	if err := writeFiles(base, bandwidthTables(r), raw, bandwidthMarkdown(r), stdout); err != nil {
		return err
	}
	return writeBandwidthPlots(base, r)
}

func bandwidthMarkdown(r *bandwidthResults) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Bandwidth

Written by `+"`make bench`"+`; do not edit. Raw samples: [%[1]s.json](%[1]s.json).

![Latency beside streams that fill a limit](%[1]s.svg)

%[2]s| the host's congestion control | %[10]s |

emerita serves the capability bandwidth itself; upstream is bridge with the plugin bandwidth behind it. Both get the same limits for both directions of one
container, with a burst of %[3]v Mbit, and its peer has none: another container of the network, the host, or a namespace behind the uplink. Each variant has
a host of its own for each limit, made of network and mount namespaces, and all of them take turns, round by round; n = %[4]d.

A sample is streams of TCP that send as fast as they can, all in one direction, for %[5]v in which they use up the burst, and %[6]v that count. Meanwhile the
limited container sends a request of %[7]d bytes by UDP each %[8]v to the same peer, which sends it back: one of its two ways has the streams before it. A request
does not wait for the answer to the one before; it is lost if there is none within 200 ms after the last. At rates other than %[9]d Mbit/s there are streams alone.
Nothing is pinned to a CPU. Congestion control is the host's, but emerita has cubic in place of bbr between containers, which fills a queue that bbr does not. Compare within one run: absolute figures belong to the machine.
`, bandwidthReportName, r.Machine.markdown(), float64(r.Plan.Burst)/1e6, r.Plan.Rounds, r.Plan.WarmUp, r.Plan.Window,
		r.Plan.Size, r.Plan.Interval, loaded, r.Congestion)
	for _, t := range bandwidthTables(r) {
		t.markdown(&b)
	}
	writeList(&b, "Failures", r.Failures)
	return b.String()
}
