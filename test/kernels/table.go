// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// result is what came of a kernel.
type result struct {
	kernel  *kernel
	summary summary
}

const (
	introduction = `# Kernels

Written by ` + "`make test-kernels`" + ` on %s. It runs the tests that ask the kernel on Debian's kernels, each in an emulated machine. It needs Debian on amd64, root or sudo, two cores, 8 GB of memory and, the first time, the network; it takes some 35 minutes and leaves the machine as it was but for ` + "`.cache`" + `.

A machine sees the host's files, and what its tests write goes to memory. Kernels come by apt from Debian's mirror, with lists of their own: the mirror is the one in the host's apt sources, or in ` + "`%s`" + `.

## Features

What a kernel has is found out by trying (` + "`testutil.Probe`" + `). A test that needs a feature asks for it, and is skipped where it is not there; that is a failure where the kernel's configuration or version ([kernel-features.txt](../scripts/kernel-features.txt)) says that it is.

`
	testsTitle = "\n## Tests\n\nPassed / failed / skipped, with subtests.\n\n"
	failsTitle = "\n## Failed\n\n"
	skipsTitle = "\n## Skipped\n\n"
	outTitle   = "\n## Left out\n\nThese run on the host's kernel only (`make test`).\n\n"
)

// document is docs/kernels.md.
func document(results []result, date time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, introduction, date.UTC().Format(time.DateOnly), mirrorVariable)
	features := map[string]bool{}
	packages := map[string]bool{}
	heads := []string{""}
	versions := []string{"kernel"}
	for _, r := range results {
		heads = append(heads, r.kernel.title)
		versions = append(versions, r.kernel.version+" ("+r.kernel.suite+")")
		for f := range r.summary.Features {
			features[f] = true
		}
		for p := range r.summary.Packages {
			packages[p] = true
		}
	}
	row := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	head := func(cells ...string) {
		row(cells...)
		row(slices.Repeat([]string{"---"}, len(cells))...)
	}

	head(heads...)
	row(versions...)
	for _, f := range slices.Sorted(maps.Keys(features)) {
		cells := []string{f}
		for _, r := range results {
			cells = append(cells, r.summary.has(f))
		}
		row(cells...)
	}

	b.WriteString(testsTitle)
	head(heads...)
	for _, p := range slices.Sorted(maps.Keys(packages)) {
		cells := []string{strings.TrimPrefix(p, modulePath)}
		for _, r := range results {
			cells = append(cells, r.summary.Packages[p].String())
		}
		row(cells...)
	}

	if rows := fails(results); len(rows) > 0 {
		b.WriteString(failsTitle)
		head("test", "on")
		for _, f := range rows {
			row(f...)
		}
	}

	b.WriteString(skipsTitle)
	head("test", "for want of", "on")
	for _, s := range skips(results) {
		row(s...)
	}

	b.WriteString(outTitle)
	head("package", "tests", "why")
	for _, l := range leftOut {
		row(l.dir, "`"+strings.ReplaceAll(l.tests, "|", `\|`)+"`", l.why)
	}
	return b.String()
}

func (s summary) has(feature string) string {
	has, known := s.Features[feature]
	switch {
	case has:
		return "yes"
	case known:
		return "no"
	}
	return "?"
}

// fails are rows of tests that failed, each with the kernels.
func fails(results []result) [][]string {
	on := map[string][]string{}
	for _, r := range results {
		for _, f := range r.summary.Failed {
			test := strings.TrimPrefix(f.Package, modulePath) + " " + cmp.Or(f.Test, "(outside of any test)")
			on[test] = append(on[test], r.kernel.title)
		}
	}
	var rows [][]string
	for _, test := range slices.Sorted(maps.Keys(on)) {
		rows = append(rows, []string{test, strings.Join(on[test], ", ")})
	}
	return rows
}

// skips are rows of tests that were skipped, each with the kernels, but for those that
// only try a feature.
func skips(results []result) [][]string {
	on := map[[2]string][]string{}
	for _, r := range results {
		for _, s := range r.summary.Skipped {
			test := strings.TrimPrefix(s.Package, modulePath) + " " + s.Test
			if !strings.HasPrefix(s.Test, "TestFeatures/") {
				on[[2]string{test, s.Reason}] = append(on[[2]string{test, s.Reason}], r.kernel.title)
			}
		}
	}
	var rows [][]string
	for key, kernels := range on {
		rows = append(rows, []string{key[0], key[1], strings.Join(kernels, ", ")})
	}
	slices.SortFunc(rows, slices.Compare)
	return rows
}
