// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"slices"
	"strconv"
)

// portsTables are the report of one run, the verdict first.
func portsTables(r *portsResults) []table {
	return []table{
		portsGoalTable(r),
		portsCallTable(r),
		portsGrowthTable(r),
		portsConnTable(r, fromOutside, "Connections from the outside"),
		portsConnTable(r, fromHost, "Connections from the host to 127.0.0.1"),
	}
}

func portsGoalTable(r *portsResults) table {
	t := table{
		title: "Goals",
		note:  "Ratios of medians of this run, to the variant named; of connections to that of upstream's that is best at the figure. Of connections a second more is better, of all else less.",
		head:  []string{"figure", "to", "goal", "measured", ""},
	}
	for _, g := range portsGoals() {
		_, whose := g.best(r)
		t.rows = append(t.rows, []string{g.what, whose, g.text(), g.ratioText(g.ratio(r)), g.verdict(r)})
	}
	return t
}

func portsCallTable(r *portsResults) table {
	t := table{
		title: "One call",
		note: "Wall time and CPU time, in ms, of emerita, or of bridge and portmap one after the other. CPU time includes what they waited for and what they left running. " +
			"After each ADD the rules or elements that lead to the container were counted; after each DEL both ends of the interface and all of these were verified to be gone.",
		head: []string{"", "call", "ports", "published already", "n", "median", "min", "p90", "max", "CPU median"},
	}
	for _, op := range []string{opAdd, opDel} {
		for _, c := range r.Plan.Calls {
			for _, v := range r.Plan.Variants {
				s := r.find(portsKey{op, v, c.Ports, c.Published})
				if s == nil {
					continue
				}
				w := summarize(s.Value)
				t.rows = append(t.rows, []string{
					v, op, strconv.Itoa(c.Ports), thousands(c.Published), strconv.Itoa(w.n),
					number(w.median), number(w.min), number(w.p90), number(w.max),
					number(r.median(portsKey{op + cpuSuffix, v, c.Ports, c.Published})),
				})
			}
		}
	}
	return t
}

// portsGrowthTable compares the same call beside few and many published ports.
func portsGrowthTable(r *portsResults) table {
	low, high := slices.Min(r.Plan.Published), slices.Max(r.Plan.Published)
	t := table{
		title: "Calls beside published ports",
		note:  "Median wall time in ms with 32 ports, and the ratio of the two.",
		head:  []string{"", "call", thousands(low) + " published", thousands(high) + " published", "ratio"},
	}
	for _, op := range []string{opAdd, opDel} {
		for _, v := range r.Plan.Variants {
			few, many := r.median(portsKey{op, v, 32, low}), r.median(portsKey{op, v, 32, high})
			if v != portsDirect {
				t.rows = append(t.rows, []string{v, op, number(few), number(many), timesText(many / few)})
			}
		}
	}
	return t
}

// portsConnTable is medians and spread of what connections take.
func portsConnTable(r *portsResults, from origin, title string) table {
	t := table{title: title, note: "Median (min–max).", head: []string{"figure", "published", "unit"}}
	if from == fromOutside {
		t.note += " direct is the address of the container, without a published port."
	}
	variants := slices.DeleteFunc(slices.Clone(r.Plan.Variants), func(v string) bool { return v == portsDirect && from != fromOutside })
	t.head = append(t.head, variants...)
	for _, m := range connMetrics() {
		if m.from != from {
			continue
		}
		for _, p := range connParts() {
			for _, n := range r.Plan.Published {
				row := []string{string(m.cpus) + ", " + p.name, thousands(n), p.unit}
				for _, v := range variants {
					cell := "–"
					if s := r.find(portsKey{m.figure(p), v, 0, n}); s != nil {
						cell = spreadOf(s.Value)
					}
					row = append(row, cell)
				}
				t.rows = append(t.rows, row)
			}
		}
	}
	return t
}
