// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// writePortsPlots draws calls and connections side by side, as SVG and PNG.
func writePortsPlots(base string, r *portsResults) error {
	calls, err := portsCallPlot(r)
	if err != nil {
		return err
	}
	connections, err := portsConnPlot(r)
	if err != nil {
		return err
	}
	return writePair(base, calls, connections)
}

// portsCallPlot is the wall time of ADD over the number of its ports.
func portsCallPlot(r *portsResults) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "ADD with published ports, median wall time"
	p.X.Label.Text = "ports of the container"
	p.Y.Label.Text = "ms, logarithmic"
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.ConstantTicks(logTicks(100_000))
	var counts []plot.Tick
	for _, c := range r.Plan.Calls {
		if c.Published == 0 {
			counts = append(counts, plot.Tick{Value: float64(c.Ports), Label: strconv.Itoa(c.Ports)})
		}
	}
	p.X.Tick.Marker = plot.ConstantTicks(counts)
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	for _, v := range r.Plan.Variants {
		var points plotter.XYs
		for _, c := range r.Plan.Calls {
			if m := r.median(portsKey{opAdd, v, c.Ports, c.Published}); c.Published == 0 && !math.IsNaN(m) {
				points = append(points, plotter.XY{X: float64(c.Ports), Y: m})
			}
		}
		if err := addLine(p, v, points, portsHue(v), false); err != nil {
			return nil, err
		}
	}
	p.Y.Min, p.Y.Max = 1, max(p.Y.Max*5, 10) // room for the legend
	return p, nil
}

// portsConnPlot is what connections from the outside take, by the number of published
// ports.
func portsConnPlot(r *portsResults) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "A connection, by ports published on the host, median"
	p.Y.Label.Text = "µs"
	p.Y.Min, p.Y.Max = 0, 1
	p.Legend.Top, p.Legend.Left = true, true
	m := connMetric{fromOutside, sameCPU}
	var groups []string
	var all []barSeries
	for _, v := range r.Plan.Variants {
		all = append(all, barSeries{what: v, color: portsHue(v)})
	}
	for _, part := range connParts() {
		label, ok := map[string]string{"connect p50": "connect", "connect to close p50": "to close"}[part.name]
		if !ok {
			continue
		}
		for _, n := range r.Plan.Published {
			groups = append(groups, label+", "+thousands(n))
			for i, v := range r.Plan.Variants {
				median := r.median(portsKey{m.figure(part), v, 0, n})
				text := "–"
				if math.IsNaN(median) {
					median = 0 // what was not measured has no bar
				} else {
					text = figure(median)
				}
				all[i].values, all[i].labels = append(all[i].values, median), append(all[i].labels, text)
				p.Y.Max = max(p.Y.Max, median)
			}
		}
	}
	if err := addBars(p, groups, all, 7); err != nil {
		return nil, err
	}
	p.X.Min, p.X.Max = -0.5, float64(len(groups))-0.5
	p.Y.Max *= 1.4 // room for the legend
	return p, nil
}

// portsHue gives each variant one colour.
func portsHue(variant string) color.Color {
	i := slices.Index(portsVariantNames(), variant)
	return []color.Color{
		hue("emerita"), hue("bridge"), color.RGBA{R: 0xd9, G: 0x8e, B: 0x32, A: 0xff}, color.RGBA{R: 0xc4, G: 0xc4, B: 0xc4, A: 0xff},
	}[i]
}
