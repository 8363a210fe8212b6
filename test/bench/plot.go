// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	plotWidth  = 30 * vg.Centimeter
	plotHeight = 11 * vg.Centimeter
	barWidth   = vg.Length(13) // points
)

// writePlots draws growth and single calls side by side, as SVG and PNG.
func writePlots(base string, r *results) error {
	growth, err := growthPlot(r)
	if err != nil {
		return err
	}
	bars, err := barPlot(r)
	if err != nil {
		return err
	}
	return writePair(base, growth, bars)
}

// writePair writes two plots, side by side, as SVG and as PNG.
func writePair(base string, left, right *plot.Plot) error {
	for _, format := range []string{"svg", "png"} {
		if err := writePlot(base+"."+format, format, left, right); err != nil {
			return err
		}
	}
	return nil
}

func writePlot(file, format string, left, right *plot.Plot) (err error) {
	canvas, err := draw.NewFormattedCanvas(plotWidth, plotHeight, format)
	if err != nil {
		return fmt.Errorf("draw %s: %w", format, err)
	}
	area := draw.New(canvas)
	area.SetColor(color.White)
	area.Fill(area.Rectangle.Path())
	tiles := draw.Tiles{Rows: 1, Cols: 2, PadX: vg.Centimeter, PadTop: vg.Millimeter * 3, PadBottom: vg.Millimeter * 3, PadLeft: vg.Millimeter * 3, PadRight: vg.Millimeter * 3}
	plots := [][]*plot.Plot{{left, right}}
	for i, c := range plot.Align(plots, tiles, area)[0] {
		plots[0][i].Draw(c)
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := canvas.WriteTo(f); err != nil {
		return fmt.Errorf("write plot %q: %w", file, err)
	}
	return nil
}

// growthPlot is the wall time of ADD over the number of attached containers.
func growthPlot(r *results) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "ADD beside attached containers, median wall time"
	p.X.Label.Text = "containers attached"
	p.Y.Label.Text = "ms, logarithmic"
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.ConstantTicks(logTicks(1000))
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	for _, what := range r.Plan.Variants {
		var points plotter.XYs
		for _, n := range r.Plan.Levels {
			if s := r.find(key{sectionGrowth, what, opAdd, n}); s != nil {
				points = append(points, plotter.XY{X: float64(n), Y: summarize(s.Wall).median})
			}
		}
		if err := addLine(p, what, points, hue(what), strings.HasSuffix(what, "-masq")); err != nil {
			return nil, err
		}
	}
	p.Y.Min, p.Y.Max = 1, max(p.Y.Max*3, 10) // room for the legend
	return p, nil
}

// barPlot is the wall time of single calls.
func barPlot(r *results) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "One call, median wall time"
	p.Y.Label.Text = "ms"
	p.Legend.Top, p.Legend.Left = true, true
	p.Y.Min = 0
	var all []barSeries
	for i, op := range []string{opAdd, opDel} {
		bars := barSeries{what: op, color: []color.Color{color.RGBA{R: 0x1b, G: 0x6c, B: 0xa8, A: 0xff}, color.RGBA{R: 0xd9, G: 0x8e, B: 0x32, A: 0xff}}[i]}
		for _, what := range r.Plan.Variants {
			median := 0.0 // a call that never succeeded has no bar
			if s := r.find(key{Section: sectionSingle, What: what, Op: op}); s != nil {
				median = summarize(s.Wall).median
			}
			bars.values = append(bars.values, median)
			bars.labels = append(bars.labels, fmt.Sprintf("%.1f", median))
		}
		all = append(all, bars)
	}
	if err := addBars(p, r.Plan.Variants, all, 8); err != nil {
		return nil, err
	}
	p.Y.Max *= 1.15 // room for the labels
	return p, nil
}

// hue gives each plugin one colour; ipMasq is told by dashes.
func hue(what string) color.Color {
	switch plugin, _, _ := strings.Cut(what, "-"); plugin {
	case "emerita":
		return color.RGBA{R: 0xc0, G: 0x2b, B: 0x3a, A: 0xff}
	case "bridge":
		return color.RGBA{R: 0x2f, G: 0x4b, B: 0x7c, A: 0xff}
	default:
		return color.RGBA{R: 0x7a, G: 0x7a, B: 0x7a, A: 0xff}
	}
}
