// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"math"
	"testing"
)

func TestSummarize(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		samples []float64
		want    summary
	}{
		{"one", []float64{3}, summary{n: 1, median: 3, min: 3, p90: 3, max: 3}},
		{"even", []float64{4, 1}, summary{n: 2, median: 2.5, min: 1, p90: 3.7, max: 4}},
		{"odd, unsorted", []float64{9, 1, 5}, summary{n: 3, median: 5, min: 1, p90: 8.2, max: 9}},
		{"eleven", []float64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, summary{n: 11, median: 5, min: 0, p90: 9, max: 10}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := summarize(tc.samples)
			if got.n != tc.want.n || !near(got.median, tc.want.median) || !near(got.min, tc.want.min) ||
				!near(got.p90, tc.want.p90) || !near(got.max, tc.want.max) {
				t.Errorf("summarize(%v) = %+v, want %+v", tc.samples, got, tc.want)
			}
		})
	}
}

func TestSummarizeLeavesSamplesInOrder(t *testing.T) {
	t.Parallel()
	samples := []float64{3, 1, 2}
	summarize(samples)
	if samples[0] != 3 || samples[1] != 1 || samples[2] != 2 {
		t.Errorf("summarize reordered its argument: %v", samples)
	}
}

func TestSummarizeNothing(t *testing.T) {
	t.Parallel()
	got := summarize(nil)
	if got.n != 0 || !math.IsNaN(got.median) || !math.IsNaN(got.max) {
		t.Errorf("summarize(nil) = %+v, want no samples and NaN", got)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
