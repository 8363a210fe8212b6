// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
)

// writeBandwidthPlots draws the latency beside one stream and beside several, as SVG and
// PNG.
func writeBandwidthPlots(base string, r *bandwidthResults) error {
	one, err := bandwidthPlot(r, 1)
	if err != nil {
		return err
	}
	several, err := bandwidthPlot(r, 8)
	if err != nil {
		return err
	}
	return writePair(base, one, several)
}

// bandwidthPlot has a group of bars for each direction and peer, one for each variant.
func bandwidthPlot(r *bandwidthResults, streams int) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("p99 latency beside %s of TCP at a limit of %d Mbit/s", streamsText(streams), loaded)
	p.Y.Label.Text = "ms"
	p.Y.Min, p.Y.Max = 0, 1
	p.Legend.Top, p.Legend.Left = true, true
	var groups []string
	var all []barSeries
	for _, v := range r.Plan.Variants {
		all = append(all, barSeries{what: v, color: limitHue(v)})
	}
	for _, c := range r.Plan.Cases {
		if c.Exact || c.Streams != streams {
			continue
		}
		groups = append(groups, fmt.Sprintf("%s %s", c.Direction, c.Peer))
		for i, v := range r.Plan.Variants {
			median := r.median(bandwidthKey{figureP99, v, c})
			text := figure(median)
			if math.IsNaN(median) {
				median, text = 0, "–" // what was not measured has no bar
			}
			all[i].values, all[i].labels = append(all[i].values, median), append(all[i].labels, text)
			p.Y.Max = max(p.Y.Max, median)
		}
	}
	if err := addBars(p, groups, all, 7); err != nil {
		return nil, err
	}
	p.X.Min, p.X.Max = -0.5, float64(len(groups))-0.5
	p.X.Tick.Label.Font.Size = 8
	p.Y.Max *= 1.4 // room for the legend
	return p, nil
}

// limitHue gives each variant one colour.
func limitHue(variant string) color.Color {
	if variant == limitEmerita {
		return hue("emerita")
	}
	return hue("bridge")
}
