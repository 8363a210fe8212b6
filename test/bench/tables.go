// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
)

// tables are the report of one run, the verdict first.
func tables(r *results) []table {
	return []table{goalTable(r), singleTable(r), explainTable(r), growthTable(r, opAdd), growthTable(r, opDel), burstTable(r)}
}

func goalTable(r *results) table {
	t := table{
		title: "Goals",
		note:  "Ratios of median wall times of this run.",
		head:  []string{"#", "figure", "goal", "measured", ""},
	}
	for _, g := range goals() {
		t.rows = append(t.rows, []string{g.name, g.what, "≤ " + ratioText(g.limit), ratioText(g.ratio(r)), g.verdict(r)})
	}
	return t
}

func singleTable(r *results) table {
	t := table{
		title: "One call",
		note: "Wall time of the whole process and its CPU time, in ms. CPU time includes what a plugin left running when it returned. " +
			"After each DEL both ends of the interface were verified to be gone.",
		head: []string{"", "call", "n", "median", "min", "p90", "max", "CPU median"},
	}
	for _, op := range []string{opRun, opAdd, opDel} {
		for _, s := range r.Series {
			if s.Section == sectionSingle && s.Op == op {
				t.rows = append(t.rows, append([]string{s.What, s.Op}, spread(s)...))
			}
		}
	}
	return t
}

// explainTable splits the ADD of emerita, in the same run, by what simpler
// programs cost.
func explainTable(r *results) table {
	t := table{
		title: "Where the time of an ADD goes",
		note:  "Differences of medians, each line over the one before.",
		head:  []string{"step", "ms"},
	}
	before := 0.0
	for _, step := range []struct {
		text string
		key  key
	}{
		{"start, run and reap the smallest program (/bin/true)", key{sectionSingle, programTrue, opRun, 0}},
		{"start the Go runtime (empty Go program)", key{sectionSingle, programEmpty, opRun, 0}},
		{"load a bigger program, initialise packages, answer (emerita VERSION)", key{sectionSingle, programEmerita, opRun, 0}},
		{"configuration, address, kernel objects, record, result (emerita ADD)", key{sectionSingle, "emerita", opAdd, 0}},
	} {
		s := r.find(step.key)
		if s == nil {
			continue
		}
		median := summarize(s.Wall).median
		t.rows = append(t.rows, []string{step.text, number(median - before)})
		before = median
	}
	return t
}

func growthTable(r *results, op string) table {
	t := table{
		title: op + " beside attached containers",
		note:  "Median wall time in ms (min–max), and CPU time in ms, with that many containers of the same network already attached.",
		head:  []string{"containers"},
	}
	for _, n := range r.Plan.Levels {
		t.head = append(t.head, strconv.Itoa(n), "CPU")
	}
	for _, what := range r.Plan.Variants {
		row := []string{what}
		measured := false
		for _, n := range r.Plan.Levels {
			s := r.find(key{sectionGrowth, what, op, n})
			if s == nil {
				row = append(row, "–", "–")
				continue
			}
			measured = true
			w := summarize(s.Wall)
			row = append(row, fmt.Sprintf("%s (%s–%s)", number(w.median), number(w.min), number(w.max)), number(summarize(s.CPU).median))
		}
		if measured {
			t.rows = append(t.rows, row)
		}
	}
	return t
}

func burstTable(r *results) table {
	t := table{
		title: "Bursts",
		note: fmt.Sprintf("%d calls, %d at a time: from the first start to the last end, and CPU time of all, in ms.",
			r.Plan.BurstSize, r.Plan.BurstWorkers),
		head: []string{"", "call", "n", "median", "min", "p90", "max", "CPU median"},
	}
	for _, op := range []string{opAdd, opDel} {
		for _, what := range r.Plan.Variants {
			if s := r.find(key{Section: sectionBurst, What: what, Op: op}); s != nil {
				t.rows = append(t.rows, append([]string{what, op}, spread(s)...))
			}
		}
	}
	return t
}

// spread is the cells from n to CPU.
func spread(s *series) []string {
	w := summarize(s.Wall)
	return []string{strconv.Itoa(w.n), number(w.median), number(w.min), number(w.p90), number(w.max), number(summarize(s.CPU).median)}
}

// number writes milliseconds with as many digits as they are worth.
func number(ms float64) string {
	switch {
	case math.IsNaN(ms):
		return "–"
	case math.Abs(ms) < 100:
		return strconv.FormatFloat(ms, 'f', 2, 64)
	default:
		return strconv.FormatFloat(ms, 'f', 0, 64)
	}
}
