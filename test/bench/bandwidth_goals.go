// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import "math"

// A bandwidthGoal is a range for a figure of emerita, or for its ratio to upstream's.
type bandwidthGoal struct {
	c        bandwidthCase
	figure   string
	low, top float64
}

// bandwidthGoals are those of the issue "Published ports, bandwidth": the rate is within
// a tenth of the limit, the latency at most a third of upstream's.
func bandwidthGoals() []bandwidthGoal {
	var goals []bandwidthGoal
	for _, c := range bandwidthCases() {
		goals = append(goals, bandwidthGoal{c, figureRate, 90, 110})
	}
	for _, c := range bandwidthCases() {
		if !c.Exact {
			goals = append(goals, bandwidthGoal{c, figureP99, 0, 1. / 3})
		}
	}
	return goals
}

// measured is a rate in % of the limit, or a ratio of latencies.
func (g bandwidthGoal) measured(r *bandwidthResults) float64 {
	if g.figure == figureRate {
		return r.median(bandwidthKey{g.figure, limitEmerita, g.c})
	}
	return r.ratio(g.figure, g.c)
}

func (g bandwidthGoal) verdict(r *bandwidthResults) string {
	switch m := g.measured(r); {
	case math.IsNaN(m):
		return "not measured"
	case m >= g.low && m <= g.top:
		return "met"
	default:
		return "not met"
	}
}

// row is what was measured and what was to be, as a reader reads it.
func (g bandwidthGoal) row(r *bandwidthResults) []string {
	what, goal, measured := "rate", "90–110 % of the limit", "–"
	if g.figure == figureP99 {
		what, goal, measured = "p99", "≤ "+ratioText(g.top)+" of upstream's", ratioText(g.measured(r))
	} else if m := g.measured(r); !math.IsNaN(m) {
		measured = figure(m) + " %"
	}
	return []string{what + ": " + g.c.String(), goal, measured, g.verdict(r)}
}
