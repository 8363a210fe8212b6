// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"math"
	"slices"
)

// portsResults is what a run of published ports found.
type portsResults struct {
	Machine  machine        `json:"machine"`
	Plan     portsPlan      `json:"plan"`
	Skipped  []string       `json:"skipped"` // what a variant does not serve, with the reason
	Failures []string       `json:"failures"`
	Series   []*portsSeries `json:"series"`
}

// cpuSuffix makes the name of a call that of its CPU time.
const cpuSuffix = " CPU"

// A portsKey names a series: ADD, DEL and their CPU time with a number of ports, in ms,
// or a figure of connections, on a host on which a number of ports is published.
type portsKey struct {
	Figure    string `json:"figure"`
	Variant   string `json:"variant"`
	Ports     int    `json:"ports,omitempty"`
	Published int    `json:"published"`
}

// A portsSeries holds the samples of one key in the order in which they were taken.
type portsSeries struct {
	portsKey
	Value []float64 `json:"value"`
}

func (r *portsResults) add(k portsKey, value float64) {
	s := r.find(k)
	if s == nil {
		s = &portsSeries{portsKey: k}
		r.Series = append(r.Series, s)
	}
	s.Value = append(s.Value, value)
}

// addCall appends a call's wall and CPU time.
func (r *portsResults) addCall(op, variant string, c portsCall, s sample) {
	r.add(portsKey{op, variant, c.Ports, c.Published}, milliseconds(s.wall))
	r.add(portsKey{op + cpuSuffix, variant, c.Ports, c.Published}, milliseconds(s.cpu))
}

// find returns the series of a key, or nil if it was not measured. A container's own
// address is the same however many ports are published.
func (r *portsResults) find(k portsKey) *portsSeries {
	if k.Variant == portsDirect {
		k.Published = 0
	}
	i := slices.IndexFunc(r.Series, func(have *portsSeries) bool { return have.portsKey == k })
	if i < 0 {
		return nil
	}
	return r.Series[i]
}

// median of a key, NaN if it was not measured.
func (r *portsResults) median(k portsKey) float64 {
	s := r.find(k)
	if s == nil {
		return math.NaN()
	}
	return summarize(s.Value).median
}

func (r *portsResults) encode() ([]byte, error) {
	head := *r
	head.Series = nil
	return encodeLines(head, r.Series)
}
