// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"math"
	"slices"
)

// The figures of a case.
const (
	figureRate   = "rate"   // payload, % of the limit
	figureResent = "resent" // % of all segments of the streams
	figureP50    = "p50"    // of a request and its answer, in ms
	figureP99    = "p99"
	figureLost   = "lost" // % of the requests
)

// bandwidthResults is what a run of limits found.
type bandwidthResults struct {
	Machine machine       `json:"machine"`
	Plan    bandwidthPlan `json:"plan"`
	// Congestion is the congestion control that TCP has unless a variant chooses another.
	Congestion string             `json:"congestion"`
	Failures   []string           `json:"failures"`
	Series     []*bandwidthSeries `json:"series"`
}

// A bandwidthKey names a series.
type bandwidthKey struct {
	Figure  string `json:"figure"`
	Variant string `json:"variant"`
	bandwidthCase
}

// A bandwidthSeries holds the samples of one key in the order in which they were taken.
type bandwidthSeries struct {
	bandwidthKey
	Value []float64 `json:"value"`
}

func (r *bandwidthResults) add(k bandwidthKey, value float64) {
	s := r.find(k)
	if s == nil {
		s = &bandwidthSeries{bandwidthKey: k}
		r.Series = append(r.Series, s)
	}
	s.Value = append(s.Value, thousandths(value))
}

// find returns the series of a key, or nil if it was not measured.
func (r *bandwidthResults) find(k bandwidthKey) *bandwidthSeries {
	i := slices.IndexFunc(r.Series, func(have *bandwidthSeries) bool { return have.bandwidthKey == k })
	if i < 0 {
		return nil
	}
	return r.Series[i]
}

// median of a key, NaN if it was not measured.
func (r *bandwidthResults) median(k bandwidthKey) float64 {
	s := r.find(k)
	if s == nil {
		return math.NaN()
	}
	return summarize(s.Value).median
}

func (r *bandwidthResults) encode() ([]byte, error) {
	head := *r
	head.Series = nil
	return encodeLines(head, r.Series)
}
