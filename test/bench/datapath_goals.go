// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"math"
)

// bbr is the congestion control for which P6 is meant.
const bbr = "bbr"

// A pathGoal is a limit on the ratio of two medians of one metric of one run. A
// latency must not be above the limit, anything else not below.
type pathGoal struct {
	name     string
	metric   metric
	own, ref string
	limit    float64
}

// pathGoals are the project's numbers P6 to P8, P10, P11 and P13.
func pathGoals() []pathGoal {
	byName := map[string]metric{}
	for _, m := range metrics() {
		byName[m.Name] = m
	}
	local := func(name, metric, ref string, limit float64) pathGoal {
		return pathGoal{name, byName[metric], pathEmerita, ref, limit}
	}
	big := func(name, metric, ref string, limit float64) pathGoal {
		return pathGoal{name, byName[metric], pathEmeritaLocal, ref, limit}
	}
	goals := []pathGoal{
		local("P6", "tcp1", pathBridge, 4.5),
		local("P6", "tcp1", pathLoopback, 3),
		local("P7", "tcp1-cubic", pathBridge, 1.75),
		local("P7", "tcp1-cubic", pathLoopback, 1.4),
		big("P6", "tcp1", pathBridge, 4.5),
		big("P6", "tcp1", pathLoopback, 3),
		big("P7", "tcp1-cubic", pathBridge, 1.75),
		big("P7", "tcp1-cubic", pathLoopback, 1.4),
		local("P8", "turns-same", pathLoopback, 1.03),
		local("P10", "udp", pathBridge, 1.4),
		local("P10", "udp", pathLoopback, 0.75),
		local("P11", "connections", pathBridge, 1.35),
		local("P11", "connections", pathLoopback, 1),
	}
	for _, m := range metrics() {
		switch {
		case m.Few:
			goals = append(goals,
				pathGoal{"P13", m, pathEmerita, pathBridge, 1},
				pathGoal{"P13", m, pathEmeritaLocal, pathBridge, 1},
				pathGoal{"P13", m, pathEmeritaOff, pathBridge, 1})
		case m.Scope == scopeOutside:
			goals = append(goals,
				pathGoal{"P13", m, pathEmeritaMasq, pathBridgeMasq, 1},
				pathGoal{"P13", m, pathEmeritaLocalMasq, pathBridgeMasq, 1},
				pathGoal{"P13", m, pathEmeritaOffMasq, pathBridgeMasq, 1})
		}
	}
	return goals
}

func (g pathGoal) ratio(r *pathResults) float64 {
	return r.ratioOf(pathKey{g.metric.Name, g.own}, pathKey{g.metric.Name, g.ref}, func(s *pathSeries) []float64 { return s.Value })
}

func (g pathGoal) verdict(r *pathResults) string {
	ratio := g.ratio(r)
	switch {
	case math.IsNaN(ratio):
		return "not measured"
	case g.name == "P6" && r.Congestion != bbr:
		return "only for " + bbr
	case g.metric.latency() && ratio <= g.limit, !g.metric.latency() && ratio >= g.limit:
		return "met"
	default:
		return "not met"
	}
}

// text is the limit with its direction.
func (g pathGoal) text() string {
	if g.metric.latency() {
		return "≤ " + timesText(g.limit)
	}
	return "≥ " + timesText(g.limit)
}

// timesText writes a ratio with two decimals.
func timesText(ratio float64) string {
	if math.IsNaN(ratio) {
		return "–"
	}
	return fmt.Sprintf("%.2fx", ratio)
}
