// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"math"
)

// A goal is a limit on the ratio of two medians of wall time of the same run.
type goal struct {
	name     string
	what     string
	own, ref key
	limit    float64
}

// goals are the project's numbers P1 to P5.
func goals() []goal {
	single := func(what, op string) key { return key{Section: sectionSingle, What: what, Op: op} }
	grown := func(what string, n int) key { return key{Section: sectionGrowth, What: what, Op: opAdd, N: n} }
	burst := func(what string) key { return key{Section: sectionBurst, What: what, Op: opAdd} }
	const plain, masq, bridge, bridgeMasq = "emerita", "emerita-masq", "bridge", "bridge-masq"
	return []goal{
		{"P1", "ADD, against bridge", single(plain, opAdd), single(bridge, opAdd), 1. / 3},
		{"P2", "ADD with ipMasq, against bridge with ipMasq", single(masq, opAdd), single(bridgeMasq, opAdd), 1. / 8},
		{"P3", "ADD beside 1,000 containers, against beside none", grown(plain, 1000), grown(plain, 0), 1.4},
		{"P3", "the same with ipMasq", grown(masq, 1000), grown(masq, 0), 1.4},
		{"P3", "ADD beside 1,000 containers, against bridge", grown(plain, 1000), grown(bridge, 1000), 1. / 10},
		{"P3", "the same with ipMasq, against bridge with ipMasq", grown(masq, 1000), grown(bridgeMasq, 1000), 1. / 30},
		{"P4", "DEL, interface gone, against bridge", single(plain, opDel), single(bridge, opDel), 1. / 7},
		{"P4", "the same with ipMasq, against bridge with ipMasq", single(masq, opDel), single(bridgeMasq, opDel), 1. / 30},
		{"P5", "burst of ADDs, against bridge", burst(plain), burst(bridge), 1 / 3.5},
		{"P5", "the same with ipMasq, against bridge with ipMasq", burst(masq), burst(bridgeMasq), 1. / 8},
	}
}

// ratio of the two medians, NaN if one was not measured.
func (g goal) ratio(r *results) float64 {
	own, ref := r.find(g.own), r.find(g.ref)
	if own == nil || ref == nil {
		return math.NaN()
	}
	return summarize(own.Wall).median / summarize(ref.Wall).median
}

func (g goal) verdict(r *results) string {
	switch ratio := g.ratio(r); {
	case math.IsNaN(ratio):
		return "not measured"
	case ratio <= g.limit:
		return "met"
	default:
		return "not met"
	}
}

// ratioText writes a ratio the way the goals are written: 1/8, or 1.4x.
func ratioText(ratio float64) string {
	switch {
	case math.IsNaN(ratio):
		return "–"
	case ratio < 1:
		return fmt.Sprintf("1/%.3g", 1/ratio)
	default:
		return fmt.Sprintf("%.3gx", ratio)
	}
}
