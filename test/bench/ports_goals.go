// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"math"
)

// A portsGoal is a limit on the ratio of two medians of one run. Several to compare
// with mean the best of them.
type portsGoal struct {
	what  string
	own   portsKey
	refs  []portsKey
	limit float64
	more  bool // is better: the ratio must not be below the limit
}

// portsGoals are those of the issue "Published ports".
func portsGoals() []portsGoal {
	call := func(variant string, published int) portsKey { return portsKey{opAdd, variant, 32, published} }
	goals := []portsGoal{
		{"ADD with 32 ports", call(portsEmerita, 0), []portsKey{call(portsIPTables, 0)}, 1. / 10, false},
		{"ADD with 32 ports", call(portsEmerita, 0), []portsKey{call(portsNFTables, 0)}, 1. / 10, false},
		{"ADD with 32 ports beside 1,000, against beside 1", call(portsEmerita, 1000), []portsKey{call(portsEmerita, 1)}, 1.2, false},
	}
	for _, published := range []int{1, 1000} {
		for _, m := range connMetrics() {
			if m.from != fromOutside {
				continue
			}
			for _, p := range connParts() {
				of := func(variant string) portsKey { return portsKey{m.figure(p), variant, 0, published} }
				goals = append(goals, portsGoal{
					fmt.Sprintf("%s; %s published", m.figure(p), thousands(published)),
					of(portsEmerita), []portsKey{of(portsIPTables), of(portsNFTables)}, 1, p.more,
				})
			}
		}
	}
	return goals
}

// best is the median to compare with, and whose it is.
func (g portsGoal) best(r *portsResults) (float64, string) {
	best, whose := math.NaN(), "–"
	for _, k := range g.refs {
		m := r.median(k)
		if math.IsNaN(best) || g.more && m > best || !g.more && m < best {
			best, whose = m, k.Variant
		}
	}
	return best, whose
}

func (g portsGoal) ratio(r *portsResults) float64 {
	best, _ := g.best(r)
	return r.median(g.own) / best
}

func (g portsGoal) verdict(r *portsResults) string {
	switch ratio := g.ratio(r); {
	case math.IsNaN(ratio):
		return "not measured"
	case g.more && ratio >= g.limit, !g.more && ratio <= g.limit:
		return "met"
	default:
		return "not met"
	}
}

func (g portsGoal) text() string {
	if g.more {
		return "≥ " + timesText(g.limit)
	}
	return "≤ " + g.ratioText(g.limit)
}

// ratioText writes small ratios, of which there is more to say, as fractions.
func (g portsGoal) ratioText(ratio float64) string {
	if g.limit < 1 {
		return ratioText(ratio)
	}
	return timesText(ratio)
}

// thousands writes a number of ports as a reader reads it.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
