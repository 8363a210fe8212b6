// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"math"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// budget is what acceleration may add to the bytes that a writer pushes at a reader that
// has stopped, in KiB.
const budget = 64

// socketGoals are the project's numbers P9 and P13, as ratios.
func socketGoals() []pathGoal {
	var goals []pathGoal
	for _, m := range socketMetrics() {
		if m.Name == "turns-same" {
			goals = append(goals, pathGoal{"P9", m, socketsAccelerated, pathLoopback, 0.57})
		}
	}
	for _, m := range socketMetrics() {
		if m.Kind == traffic.Stopped {
			continue
		}
		for _, own := range socketVariants(m) {
			if accelerates(own) {
				goals = append(goals, pathGoal{"P13", m, own, pathBridge, 1})
			}
		}
	}
	return goals
}

// A stoppedGoal is P12 for one size of writes.
type stoppedGoal struct{ metric metric }

func stoppedGoals() []stoppedGoal {
	var goals []stoppedGoal
	for _, m := range ofKind(socketMetrics(), traffic.Stopped) {
		goals = append(goals, stoppedGoal{m})
	}
	return goals
}

// limit is the budget on top of what plain TCP took in the round in which it took most:
// its buffers grow with what it makes of the moment.
func (g stoppedGoal) limit(r *pathResults) float64 {
	s := r.find(pathKey{g.metric.Name, pathEmerita})
	if s == nil {
		return math.NaN()
	}
	return summarize(s.Value).max + budget
}

// measured is what went to the reader with acceleration. It is the median, for the limit
// has the spread in it.
func (g stoppedGoal) measured(r *pathResults) summary {
	s := r.find(pathKey{g.metric.Name, socketsAccelerated})
	if s == nil {
		return summarize(nil)
	}
	return summarize(s.Value)
}

func (g stoppedGoal) verdict(r *pathResults) string {
	limit, measured := g.limit(r), g.measured(r).median
	switch {
	case math.IsNaN(limit) || math.IsNaN(measured):
		return "not measured"
	case measured <= limit:
		return "met"
	default:
		return "not met"
	}
}

// row is the goal's in the table.
func (g stoppedGoal) row(r *pathResults) []string {
	w := g.measured(r)
	rounds := "–"
	if w.n > 0 {
		rounds = figure(w.min) + "–" + kib(w.max)
	}
	return []string{
		"P12", figureText(g.metric), socketsAccelerated, pathEmerita,
		"≤ " + kib(g.limit(r)), kib(w.median), rounds, g.verdict(r),
	}
}

// kib writes a number of KiB.
func kib(n float64) string {
	if math.IsNaN(n) {
		return "–"
	}
	return figure(n) + " KiB"
}

// rounds are the ratios of single rounds, of which the least and the greatest show what the
// ratio of medians is worth. There is none if a sample is missing.
func (g pathGoal) rounds(r *pathResults) []float64 {
	own, ref := r.find(pathKey{g.metric.Name, g.own}), r.find(pathKey{g.metric.Name, g.ref})
	if own == nil || ref == nil || len(own.Value) != len(ref.Value) {
		return nil
	}
	ratios := make([]float64, len(own.Value))
	for i := range ratios {
		ratios[i] = own.Value[i] / ref.Value[i]
	}
	return ratios
}

// rangeText writes the least and the greatest.
func rangeText(ratios []float64) string {
	w := summarize(ratios)
	if w.n == 0 {
		return "–"
	}
	return timesText(w.min) + "–" + timesText(w.max)
}
