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
	raw, err := r.encode()
	if err != nil {
		return err
	}
	base := filepath.Join(dir, reportName)
	if err := writeFiles(base, tables(r), raw, markdown(r), stdout); err != nil {
		return err
	}
	return writePlots(base, r)
}

// writeFiles prints the tables, and writes raw data and report.
func writeFiles(base string, tables []table, raw []byte, markdown string, stdout io.Writer) error {
	for _, t := range tables {
		if err := t.text(stdout); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return fmt.Errorf("make report directory: %w", err)
	}
	if err := os.WriteFile(base+".json", raw, 0o644); err != nil {
		return fmt.Errorf("write raw data: %w", err)
	}
	if err := os.WriteFile(base+".md", []byte(markdown), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func markdown(r *results) string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, `# ADD and DEL

Written by `+"`make bench`"+`; do not edit. Raw samples: [%[1]s.json](%[1]s.json).

![ADD beside attached containers, and single calls](%[1]s.svg)

%[2]s| file system of reservations and records | %[3]s |

Each variant has a host of its own, made of network and mount namespaces; the variants take turns, round by round,
with a pause of %[4]v after each call in which nothing else runs. bridge and ptp use host-local; "-masq" is with ipMasq,
which upstream does with iptables. Not counted are the first rounds (%[5]d of single calls, %[6]d beside attached containers), in which
a plugin makes what all containers share. Compare within one run: absolute times belong to the machine.
`, reportName, m.markdown(), m.Filesystem, r.Plan.Settle, r.Plan.WarmUp, r.Plan.LevelWarmUp)
	for _, t := range tables(r) {
		t.markdown(&b)
	}
	writeList(&b, "Failures", r.Failures)
	return b.String()
}

// writeList writes lines below a heading, if there are any.
func writeList(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n", title)
	for _, l := range lines {
		fmt.Fprintf(b, "* %s\n", strings.Join(strings.Fields(l), " "))
	}
}

// markdown is the head of a report, a table that may be continued.
func (m machine) markdown() string {
	return fmt.Sprintf(`| | |
| --- | --- |
| date | %s |
| kernel | %s |
| CPU | %d x %s |
| Go | %s |
| containernetworking/plugins | %s |
| emerita | %s |
| iptables | %s |
`, m.Date, m.Kernel, m.CPUs, m.CPU, m.Go, m.Plugins, orNone(m.Emerita), m.IPTables)
}

func orNone(version string) string {
	if version == "" {
		return "not measured"
	}
	return version
}
