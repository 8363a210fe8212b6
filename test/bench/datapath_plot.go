// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// writePathPlots draws throughput and latency side by side, as SVG and PNG.
func writePathPlots(base string, r *pathResults) error {
	shown := []string{pathLoopback, pathPTP, pathEmeritaOff, pathEmerita, pathEmeritaLocal}
	throughput, err := relativePlot(r, "Relative to bridge, more is better", shown, []bar{
		{"tcp1", "TCP, host's"}, {"tcp1-cubic", "TCP, cubic"}, {"tcp4-cubic", "4 TCP, cubic"},
		{"udp", "UDP 64 B"}, {"connections", "connections"},
	})
	if err != nil {
		return err
	}
	latency, err := relativePlot(r, "Median latency relative to bridge, less is better", shown, []bar{
		{"turns-same", "TCP, same CPU"}, {"turns-cross", "TCP, cross CPU"},
		{"udp-turns-same", "UDP, same CPU"}, {"udp-turns-cross", "UDP, cross CPU"},
	})
	if err != nil {
		return err
	}
	return writePair(base, throughput, latency)
}

// A bar is a metric and what stands below it.
type bar struct{ metric, label string }

// relativePlot has a group of bars for each metric, one for each variant.
func relativePlot(r *pathResults, title string, shown []string, bars []bar) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = title
	p.Y.Label.Text = "ratio of medians"
	p.Y.Min, p.Y.Max = 0, 1.2
	p.Legend.Top, p.Legend.Left = true, true
	one := plotter.NewFunction(func(float64) float64 { return 1 })
	one.Color, one.Width = pathHue(pathBridge), vg.Points(1.5)
	p.Add(one)
	p.Legend.Add(pathBridge, one)
	variants := slices.DeleteFunc(slices.Clone(shown), func(v string) bool {
		return !slices.Contains(r.Plan.Variants, v)
	})
	groups := make([]string, len(bars))
	var all []barSeries
	for _, variant := range variants {
		series := barSeries{what: variant, color: pathHue(variant)}
		for x, b := range bars {
			groups[x] = b.label
			ratio := r.ratioOf(pathKey{b.metric, variant}, pathKey{b.metric, pathBridge}, func(s *pathSeries) []float64 { return s.Value })
			series.labels = append(series.labels, timesText(ratio))
			if math.IsNaN(ratio) {
				ratio = 0 // what was not measured has no bar
			}
			series.values = append(series.values, ratio)
			p.Y.Max = max(p.Y.Max, ratio)
		}
		all = append(all, series)
	}
	if err := addBars(p, groups, all, 5); err != nil {
		return nil, err
	}
	p.X.Min, p.X.Max = -0.5, float64(len(groups))-0.5
	p.Y.Max *= 1.5 // room for the legend
	return p, nil
}

// pathHue gives a variant the colour of its plugin, paler with the fast path off, darker
// with larger packets or with socket acceleration.
func pathHue(variant string) color.Color {
	switch variant {
	case pathEmeritaOff:
		return color.RGBA{R: 0xe3, G: 0x9c, B: 0xa3, A: 0xff}
	case pathEmeritaLocal, socketsAccelerated:
		return color.RGBA{R: 0x7a, G: 0x10, B: 0x1c, A: 0xff}
	case pathLoopback:
		return color.RGBA{R: 0xc4, G: 0xc4, B: 0xc4, A: 0xff}
	default:
		return hue(variant)
	}
}
