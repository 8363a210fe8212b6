// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"math"
	"slices"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// pathResults is what a run of the data path found.
type pathResults struct {
	Machine machine  `json:"machine"`
	Plan    pathPlan `json:"plan"`
	// Congestion is the congestion control that TCP has unless asked otherwise.
	Congestion string        `json:"congestion"`
	Programs   []string      `json:"programs"` // the variants whose client sends through an eBPF filter
	Failures   []string      `json:"failures"`
	Series     []*pathSeries `json:"series"`
}

// A pathKey names a series.
type pathKey struct {
	Metric  string `json:"metric"`
	Variant string `json:"variant"`
}

// A pathSeries holds the samples of one metric with one variant, in the metric's
// unit and in the order in which they were taken. Of a latency, Value is the
// median of a sample and P99 what all but one turn in a hundred stayed below; Direct is
// the share of requests over TCP that did not go as its segments.
type pathSeries struct {
	pathKey
	Value  []float64 `json:"value"`
	P99    []float64 `json:"p99,omitempty"`
	Direct []float64 `json:"direct,omitempty"`
}

func (r *pathResults) add(m metric, variant string, s traffic.Result) {
	k := pathKey{m.Name, variant}
	series := r.find(k)
	if series == nil {
		series = &pathSeries{pathKey: k}
		r.Series = append(r.Series, series)
	}
	switch m.Kind {
	case traffic.Turns:
		series.Direct = append(series.Direct, thousandths(s.Direct))
		fallthrough
	case traffic.UDPTurns:
		series.Value = append(series.Value, thousandths(s.P50))
		series.P99 = append(series.P99, thousandths(s.P99))
	case traffic.Stopped:
		series.Value = append(series.Value, thousandths(s.Pushed))
	default:
		series.Value = append(series.Value, thousandths(s.Rate))
	}
}

// find returns the series of a key, or nil if it was not measured.
func (r *pathResults) find(k pathKey) *pathSeries {
	i := slices.IndexFunc(r.Series, func(have *pathSeries) bool { return have.pathKey == k })
	if i < 0 {
		return nil
	}
	return r.Series[i]
}

func thousandths(f float64) float64 { return math.Round(f*1000) / 1000 }

func (r *pathResults) encode() ([]byte, error) {
	head := *r
	head.Series = nil
	return encodeLines(head, r.Series)
}
