// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"math"
	"slices"
)

// summary describes samples in their own unit. It is all NaN without samples.
type summary struct {
	n                     int
	median, min, p90, max float64
}

func summarize(samples []float64) summary {
	if len(samples) == 0 {
		nan := math.NaN()
		return summary{median: nan, min: nan, p90: nan, max: nan}
	}
	s := slices.Sorted(slices.Values(samples))
	return summary{
		n:      len(s),
		median: quantile(s, 0.5),
		min:    s[0],
		p90:    quantile(s, 0.9),
		max:    s[len(s)-1],
	}
}

// quantile interpolates between the two nearest of the sorted samples, of which
// there is at least one.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
