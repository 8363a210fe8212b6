// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// addLine adds dots joined by a line, unless there is none.
func addLine(p *plot.Plot, what string, points plotter.XYs, c color.Color, dashed bool) error {
	if len(points) == 0 {
		return nil
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return fmt.Errorf("plot %q: %w", what, err)
	}
	line.Color, dots.Color = c, c
	line.Width = vg.Points(1.5)
	if dashed {
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	dots.Shape = draw.CircleGlyph{}
	p.Add(line, dots)
	p.Legend.Add(what, line, dots)
	return nil
}

// logTicks labels what a reader can name between 1 and a power of ten.
func logTicks(last float64) []plot.Tick {
	var ticks []plot.Tick
	for decade := 1.0; decade < last; decade *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			ticks = append(ticks, plot.Tick{Value: decade * digit, Label: fmt.Sprint(decade * digit)})
		}
	}
	return append(ticks, plot.Tick{Value: last, Label: fmt.Sprint(last)})
}

// A barSeries is a bar in each group of a plot, with what stands above it.
type barSeries struct {
	what   string
	color  color.Color
	values plotter.Values
	labels []string
}

// addBars adds bars beside each other, one series after the other in each group.
func addBars(p *plot.Plot, groups []string, all []barSeries, size vg.Length) error {
	for i, s := range all {
		offset := barWidth * (vg.Length(i) - vg.Length(len(all)-1)/2)
		chart, err := plotter.NewBarChart(s.values, barWidth)
		if err != nil {
			return fmt.Errorf("plot %q: %w", s.what, err)
		}
		chart.Color, chart.Offset, chart.LineStyle.Width = s.color, offset, 0
		labels := plotter.XYLabels{Labels: s.labels}
		for x, v := range s.values {
			labels.XYs = append(labels.XYs, plotter.XY{X: float64(x), Y: v})
		}
		texts, err := plotter.NewLabels(labels)
		if err != nil {
			return fmt.Errorf("plot labels of %q: %w", s.what, err)
		}
		for j := range texts.TextStyle {
			texts.TextStyle[j].Font.Size = vg.Points(float64(size))
			texts.TextStyle[j].XAlign = draw.XCenter
		}
		texts.Offset = vg.Point{X: offset, Y: vg.Points(2)}
		p.Add(chart, texts)
		p.Legend.Add(s.what, chart)
	}
	p.NominalX(groups...)
	return nil
}
