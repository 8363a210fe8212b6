// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// reportName is the name, without its ending, of every file of the report.
const reportName = "adddel"

// writeReport prints the tables and writes report, raw data and plots.
func writeReport(dir string, r *results, stdout io.Writer) error {
	for _, t := range tables(r) {
		if err := t.text(stdout); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make report directory: %w", err)
	}
	raw, err := r.encode()
	if err != nil {
		return err
	}
	base := filepath.Join(dir, reportName)
	if err := os.WriteFile(base+".json", raw, 0o644); err != nil {
		return fmt.Errorf("write raw data: %w", err)
	}
	if err := os.WriteFile(base+".md", []byte(markdown(r)), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return writePlots(base, r)
}

func markdown(r *results) string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, `# ADD and DEL

Written by `+"`make bench`"+`; do not edit. Raw samples: [%[1]s.json](%[1]s.json).

![ADD beside attached containers, and single calls](%[1]s.svg)

| | |
| --- | --- |
| date | %[2]s |
| kernel | %[3]s |
| CPU | %[4]d x %[5]s |
| Go | %[6]s |
| containernetworking/plugins | %[7]s |
| emerita | %[8]s |
| iptables | %[9]s |
| file system of reservations and records | %[10]s |

Each variant has a host of its own, made of network and mount namespaces; the variants take turns, round by round,
with a pause of %[11]v after each call in which nothing else runs. bridge and ptp use host-local; "-masq" is with ipMasq,
which upstream does with iptables. Not counted are the first rounds (%[12]d of single calls, %[13]d beside attached containers), in which
a plugin makes what all containers share. Compare within one run: absolute times belong to the machine.
`, reportName, m.Date, m.Kernel, m.CPUs, m.CPU, m.Go, m.Plugins, orNone(m.Emerita), m.IPTables, m.Filesystem, r.Plan.Settle, r.Plan.WarmUp, r.Plan.LevelWarmUp)
	for _, t := range tables(r) {
		t.markdown(&b)
	}
	if len(r.Failures) > 0 {
		b.WriteString("\n## Failures\n\n")
		for _, f := range r.Failures {
			fmt.Fprintf(&b, "* %s\n", strings.Join(strings.Fields(f), " "))
		}
	}
	return b.String()
}

func orNone(version string) string {
	if version == "" {
		return "not measured"
	}
	return version
}
