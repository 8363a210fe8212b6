// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import "math"

// bandwidthTables are the report of one run, the verdict first.
func bandwidthTables(r *bandwidthResults) []table {
	const spread = "Median (min–max). "
	loadedOnly := func(c bandwidthCase) bool { return !c.Exact }
	all := func(bandwidthCase) bool { return true }
	return []table{
		bandwidthGoalTable(r),
		bandwidthTable(r, "Latency beside the streams", spread+"From a request to its answer, in ms, of those that were answered; the ratio is of medians, emerita to upstream.",
			loadedOnly, []string{figureP50, figureP99}, true),
		bandwidthTable(r, "Rate", spread+"Payload of the streams, in % of the limit. Headers count in the limit: with full packets 95.6 % is exact.",
			all, []string{figureRate}, false),
		bandwidthTable(r, "Lost", spread+"Segments of the streams that were sent again, in % of all; and requests without an answer in time, in % of all, which no stream sends again.",
			all, []string{figureResent, figureLost}, false),
	}
}

func bandwidthGoalTable(r *bandwidthResults) table {
	t := table{title: "Goals", note: "Medians of this run.", head: []string{"figure", "goal", "measured", ""}}
	for _, g := range bandwidthGoals() {
		t.rows = append(t.rows, g.row(r))
	}
	return t
}

// bandwidthTable has some figures of each variant, case by case.
func bandwidthTable(r *bandwidthResults, title, note string, of func(bandwidthCase) bool, figures []string, ratios bool) table {
	t := table{title: title, note: note, head: []string{""}}
	for _, f := range figures {
		for _, v := range r.Plan.Variants {
			t.head = append(t.head, v+" "+f)
		}
		if ratios {
			t.head = append(t.head, "ratio")
		}
	}
	for _, c := range r.Plan.Cases {
		if !of(c) {
			continue
		}
		row := []string{c.String()}
		for _, f := range figures {
			for _, v := range r.Plan.Variants {
				cell := "–"
				if s := r.find(bandwidthKey{f, v, c}); s != nil {
					cell = spreadOf(s.Value)
				}
				row = append(row, cell)
			}
			if ratios {
				row = append(row, ratioText(r.ratio(f, c)))
			}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// ratio of the medians of emerita and upstream, NaN if one was not measured.
func (r *bandwidthResults) ratio(figure string, c bandwidthCase) float64 {
	own, ref := r.median(bandwidthKey{figure, limitEmerita, c}), r.median(bandwidthKey{figure, limitUpstream, c})
	if ref == 0 {
		return math.NaN()
	}
	return own / ref
}
