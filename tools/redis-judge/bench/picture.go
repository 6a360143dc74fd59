package main

import (
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// draw draws how many times as fast as Redis the server is in each case of one mode, as an SVG.
func draw(file string, results []result, mode int) error {
	drawing := plot.New()
	drawing.Title.Text = "kvctl serve beside redis-server, writes " + modes[mode].name + ": times as many commands a second"
	drawing.Y.Min = 0
	var ratios plotter.Values
	var names []string
	for _, r := range results {
		if r.mode == mode {
			ratios = append(ratios, r.ratio())
			names = append(names, fmt.Sprintf("%s\n%d clients\nby %d", r.command, r.clients, r.pipeline))
		}
	}
	bars, err := plotter.NewBarChart(ratios, vg.Points(24))
	if err != nil {
		return err
	}
	bars.Color = plotutil.Color(2)
	same := plotter.NewFunction(func(float64) float64 { return 1 })
	drawing.Add(bars, same)
	drawing.NominalX(names...)
	return drawing.Save(28*vg.Centimeter, 9*vg.Centimeter, file)
}
