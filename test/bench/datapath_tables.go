// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// pathTables are the report of one run, the verdict first.
func pathTables(r *pathResults) []table {
	return []table{
		pathGoalTable(r),
		pathFigureTable(r, scopeLocal, "Container to container"),
		pathRatioTable(r, scopeLocal, "Container to container, ratios", pathBridge),
		pathFigureTable(r, scopeHost, "Container to a process on the host"),
		pathRatioTable(r, scopeHost, "Container to a process on the host, ratios", pathBridge),
		pathFigureTable(r, scopeOutside, "Container to the outside, masqueraded"),
		pathRatioTable(r, scopeOutside, "Container to the outside, masqueraded, ratios", pathBridgeMasq),
	}
}

func pathGoalTable(r *pathResults) table {
	t := table{
		title: "Goals",
		note:  "Ratios of medians of this run. " + moreOrLess,
		head:  []string{"#", "figure", "of", "to", "goal", "measured", ""},
	}
	for _, g := range pathGoals() {
		text := g.metric.Text
		if g.metric.Scope != scopeLocal {
			text += ", to the " + string(g.metric.Scope)
		}
		t.rows = append(t.rows, []string{g.name, text, g.own, g.ref, g.text(), timesText(g.ratio(r)), g.verdict(r)})
	}
	return t
}

// pathFigureTable is medians and spread of all metrics of a scope.
func pathFigureTable(r *pathResults, at scope, title string) table {
	return figureTable(r, r.of(at), r.variants(at), title)
}

// figureTable is medians and spread of some metrics.
func figureTable(r *pathResults, all []metric, variants []string, title string) table {
	t := table{title: title, note: "Median (min–max).", head: []string{"figure", "unit"}}
	t.head = append(t.head, variants...)
	eachRow(all, func(m metric, text string, values func(*pathSeries) []float64) {
		row := []string{text, m.unit()}
		for _, v := range variants {
			row = append(row, spreadText(r.find(pathKey{m.Name, v}), values))
		}
		t.rows = append(t.rows, row)
	})
	return t
}

// moreOrLess is what a reader of ratios has to know.
const moreOrLess = "Of request/response less is better, of all else more."

// pathRatioTable is the same as ratios, to loopback and to a reference. There is no
// loopback to compare with what goes to the outside.
func pathRatioTable(r *pathResults, at scope, title, ref string) table {
	refs := []string{pathLoopback, ref}
	if at == scopeOutside {
		refs = []string{ref}
	}
	variants := slices.DeleteFunc(r.variants(at), func(v string) bool { return v == pathLoopback })
	return ratioTable(r, r.of(at), variants, title, moreOrLess, refs...)
}

// ratioTable is ratios of some metrics, in each cell to all references.
func ratioTable(r *pathResults, all []metric, variants []string, title, note string, refs ...string) table {
	t := table{
		title: title,
		note:  fmt.Sprintf("Ratios of medians, to %s. %s", strings.Join(refs, " / to "), note),
		head:  append([]string{"figure"}, variants...),
	}
	eachRow(all, func(m metric, text string, values func(*pathSeries) []float64) {
		row := []string{text}
		for _, v := range variants {
			var cell []string
			for _, ref := range refs {
				to := pathKey{m.Name, ref}
				if ref == pathLoopback {
					to.Metric = localName(m)
				}
				cell = append(cell, timesText(r.ratioOf(pathKey{m.Name, v}, to, values)))
			}
			row = append(row, strings.Join(cell, " / "))
		}
		t.rows = append(t.rows, row)
	})
	return t
}

// localName is the metric of two containers that measures the same, which is what
// loopback is measured with.
func localName(m metric) string {
	if m.Scope == scopeLocal {
		return m.Name
	}
	for _, other := range metrics() {
		same := other
		same.Name, same.Scope = m.Name, m.Scope
		if other.Scope == scopeLocal && same == m {
			return other.Name
		}
	}
	return m.Name
}

// variants are those of the run that a scope is measured with, in order.
func (r *pathResults) variants(at scope) []string {
	return slices.DeleteFunc(slices.Clone(r.Plan.Variants), func(v string) bool {
		return !slices.ContainsFunc(r.Plan.Metrics, func(m metric) bool { return m.Scope == at && slices.Contains(m.variants(), v) })
	})
}

// of are the metrics of a scope.
func (r *pathResults) of(at scope) []metric {
	return slices.DeleteFunc(slices.Clone(r.Plan.Metrics), func(m metric) bool { return m.Scope != at })
}

// eachRow calls f for every metric, and again for the p99 of a latency.
func eachRow(all []metric, f func(m metric, text string, values func(*pathSeries) []float64)) {
	value := func(s *pathSeries) []float64 { return s.Value }
	for _, m := range all {
		if m.latency() {
			f(m, m.Text+", p50", value)
			f(m, m.Text+", p99", func(s *pathSeries) []float64 { return s.P99 })
		} else {
			f(m, m.Text, value)
		}
	}
}

// ratioOf two medians, NaN if one was not measured.
func (r *pathResults) ratioOf(own, ref pathKey, values func(*pathSeries) []float64) float64 {
	o, f := r.find(own), r.find(ref)
	if o == nil || f == nil {
		return math.NaN()
	}
	return summarize(values(o)).median / summarize(values(f)).median
}

func spreadText(s *pathSeries, values func(*pathSeries) []float64) string {
	if s == nil {
		return "–"
	}
	return spreadOf(values(s))
}

// spreadOf writes median, least and greatest.
func spreadOf(samples []float64) string {
	w := summarize(samples)
	return fmt.Sprintf("%s (%s–%s)", figure(w.median), figure(w.min), figure(w.max))
}

// figure writes a value with three digits.
func figure(f float64) string {
	switch {
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.0f", f)
	}
}
