package main

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// draw draws how many puts a second each system made, as an SVG: a group of bars for each number of clients, the medians of the rounds.
func draw(file string, lines []*line) error {
	var clients []int
	var systems []string
	rates := map[string]map[int][]float64{}
	for _, l := range lines {
		if rates[l.system] == nil {
			systems, rates[l.system] = append(systems, l.system), map[int][]float64{}
		}
		if !slices.Contains(clients, l.clients) {
			clients = append(clients, l.clients)
		}
		rates[l.system][l.clients] = append(rates[l.system][l.clients], l.rate())
	}
	drawing := plot.New()
	drawing.Title.Text = "Durable puts a second of three nodes on one machine, clients over sockets"
	drawing.Y.Min = 0
	drawing.Legend.Top, drawing.Legend.Left = true, true
	const width = 28
	for i, name := range systems {
		var medians plotter.Values
		for _, n := range clients {
			slices.Sort(rates[name][n])
			medians = append(medians, rates[name][n][len(rates[name][n])/2])
		}
		bars, err := plotter.NewBarChart(medians, vg.Points(width))
		if err != nil {
			return err
		}
		bars.Color = plotutil.Color(i)
		bars.Offset = vg.Points(width * (float64(i) - float64(len(systems)-1)/2))
		drawing.Add(bars)
		drawing.Legend.Add(name, bars)
	}
	var labels []string
	for _, n := range clients {
		labels = append(labels, fmt.Sprint("clients: ", n))
	}
	drawing.NominalX(labels...)
	return drawing.Save(20*vg.Centimeter, 9*vg.Centimeter, file)
}
