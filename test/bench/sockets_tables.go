// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// socketTables are the report of one run, the verdict first.
func socketTables(r *pathResults) []table {
	tables := []table{socketGoalTable(r)}
	for _, part := range []struct {
		kind  traffic.Kind
		title string
		note  string
	}{
		{traffic.Turns, "Request/response", "Less is better."},
		{traffic.Stream, "Streams", "More is better."},
		{traffic.Connections, "Connections", "More is better."},
	} {
		metrics := ofKind(r.Plan.Metrics, part.kind)
		variants := r.socketVariants(metrics)
		others := slices.DeleteFunc(slices.Clone(variants), func(v string) bool { return v == pathLoopback })
		tables = append(tables,
			figureTable(r, metrics, variants, part.title),
			ratioTable(r, metrics, others, part.title+", ratios", part.note, pathLoopback, pathBridge, pathEmerita))
	}
	stopped := ofKind(r.Plan.Metrics, traffic.Stopped)
	stoppedTable := figureTable(r, stopped, r.socketVariants(stopped), "Bytes pushed at a reader that has stopped")
	stoppedTable.note = fmt.Sprintf("What a writer that does not block gets rid of until its socket takes nothing for a third of a second, after %d round trips: the most of three connections. %s", stoppedTrips, stoppedTable.note)
	return append(tables, paysTable(r), stoppedTable, besideTable(r))
}

func socketGoalTable(r *pathResults) table {
	t := table{
		title: "Goals",
		note: "Ratios of medians of this run, and the least and greatest ratio of single rounds. " + moreOrLess +
			fmt.Sprintf(" Bytes are medians; the limit is %d KiB on top of the most that plain TCP took in a round.", budget),
		head: []string{"#", "figure", "of", "to", "goal", "measured", "rounds", ""},
	}
	ratio := func(name string) {
		for _, g := range socketGoals() {
			if g.name == name {
				t.rows = append(t.rows, []string{g.name, figureText(g.metric), g.own, g.ref, g.text(), timesText(g.ratio(r)), rangeText(g.rounds(r)), g.verdict(r)})
			}
		}
	}
	ratio("P9")
	for _, g := range stoppedGoals() {
		t.rows = append(t.rows, g.row(r))
	}
	ratio("P13")
	return t
}

// figureText says what kind of figure a metric is, where tables are not of one kind.
func figureText(m metric) string {
	switch m.Kind {
	case traffic.Turns:
		return "request/response, " + m.Text
	case traffic.Stream:
		return "stream, " + m.Text
	case traffic.Stopped:
		return "reader stopped, " + m.Text
	default:
		return m.Text
	}
}

// paysTable shows from how many round trips on a connection gains.
func paysTable(r *pathResults) table {
	t := table{
		title: "Connections by their round trips",
		note:  fmt.Sprintf("Ratios of connections a second, %s to %s: of medians, and of single rounds. Above 1.00x acceleration pays.", socketsAccelerated, pathEmerita),
		head:  []string{"round trips", string(sameCPU), "rounds", string(crossCPU), "rounds"},
	}
	var row []string
	for _, m := range ofKind(r.Plan.Metrics, traffic.Connections) {
		if m.CPUs == sameCPU {
			row = []string{strconv.Itoa(m.Trips)}
		}
		g := pathGoal{metric: m, own: socketsAccelerated, ref: pathEmerita}
		row = append(row, timesText(g.ratio(r)), rangeText(g.rounds(r)))
		if m.CPUs == crossCPU {
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// besideTable shows what acceleration costs a network of the same host that is without.
func besideTable(r *pathResults) table {
	t := table{
		title: "Beside a network with acceleration",
		note:  fmt.Sprintf("%s is a network without acceleration on a host with one that has it; of %s the machine has no program of acceleration. %s", socketsBeside, pathEmerita, moreOrLess),
		head:  []string{"figure", "unit", pathEmerita, socketsBeside, "ratio", "rounds"},
	}
	value := func(s *pathSeries) []float64 { return s.Value }
	for _, m := range r.Plan.Metrics {
		if !slices.Contains(besideMetrics(), m.Name) {
			continue
		}
		g := pathGoal{metric: m, own: socketsBeside, ref: pathEmerita}
		t.rows = append(t.rows, []string{
			figureText(m), m.unit(),
			spreadText(r.find(pathKey{m.Name, g.ref}), value), spreadText(r.find(pathKey{m.Name, g.own}), value),
			timesText(g.ratio(r)), rangeText(g.rounds(r)),
		})
	}
	return t
}

// socketVariants are those of the run that some metrics are measured with, in order.
func (r *pathResults) socketVariants(all []metric) []string {
	return slices.DeleteFunc(slices.Clone(r.Plan.Variants), func(v string) bool {
		return !slices.ContainsFunc(all, func(m metric) bool { return slices.Contains(socketVariants(m), v) })
	})
}
