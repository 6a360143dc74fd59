package main

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of a picture, which has its curves' names at the right and its caption below.
const (
	pictureWidth  = vg.Length(620)
	plotHeight    = vg.Length(300)
	legendWidth   = vg.Length(165)
	pictureMargin = vg.Length(8)
	captionLine   = vg.Length(9)
)

// What isn't a curve has one of two colours, which a rule of style exchanges on a dark page.
var (
	inkColor  = color.RGBA{0x57, 0x60, 0x6a, 0xff}
	gridColor = color.RGBA{0xd8, 0xde, 0xe4, 0xff}
)

// pictureStyle makes what is written and ruled readable on a dark page; the curves' colours are so on both. The fonts are as
// wide as the one that the text was laid out with, which not every reader has.
const pictureStyle = `<style>text{font-family:"Liberation Sans",Arial,Helvetica,sans-serif!important}` +
	`@media (prefers-color-scheme:dark){text{fill:#c9d1d9!important}` +
	`[style*="stroke:#57606A"]{stroke:#c9d1d9!important}` +
	`[style*="stroke:#D8DEE4"]{stroke:#343b44!important}}</style>`

// peerColors can be told from white and from black, each from the others, and are the same in every picture.
var peerColors = map[string]color.RGBA{
	walnutName:    {0xd1, 0x4a, 0x0c, 0xff},
	"buntdb":      {0x3b, 0x7d, 0xdd, 0xff},
	"bbolt":       {0x2e, 0x8b, 0x3d, 0xff},
	"pebble":      {0x9b, 0x5d, 0xd6, 0xff},
	"goleveldb":   {0x0e, 0x8a, 0x96, 0xff},
	"badger":      {0xa8, 0x75, 0x0f, 0xff},
	"sqlite":      {0xd6, 0x3e, 0x8c, 0xff},
	"etcd-wal":    {0x6b, 0x8e, 0x23, 0xff},
	"raft-wal":    {0x6d, 0x6f, 0xe0, 0xff},
	"tidwall-wal": {0xc0, 0x56, 0x56, 0xff},
}

// limitColor is that of limits and of peers that have none.
var limitColor = color.RGBA{0x80, 0x80, 0x80, 0xff}

// dashes tell the curves of one peer apart.
var dashes = [][]vg.Length{nil, {6, 3}, {2, 2}}

// draw returns the picture as SVG. The same series always make the same bytes.
func (p picture) draw(all []series) ([]byte, error) {
	caption := wrapped(captionOf(all), textStyle(7), pictureWidth-2*pictureMargin)
	below := captionLine*vg.Length(len(caption)) + 2*pictureMargin
	canvas := vgsvg.New(pictureWidth, plotHeight+below)
	whole := draw.New(canvas)
	drawing, legend, err := p.plot(all)
	if err != nil {
		return nil, err
	}
	drawing.Draw(draw.Crop(whole, pictureMargin, -legendWidth, below, -pictureMargin))
	legend.Draw(draw.Crop(whole, pictureWidth-legendWidth+pictureMargin, 0, below, -4*pictureMargin))
	for i, line := range caption {
		at := vg.Point{X: pictureMargin, Y: pictureMargin + captionLine*vg.Length(len(caption)-1-i)}
		whole.FillText(textStyle(7), at, line)
	}
	var content bytes.Buffer
	if _, err := canvas.WriteTo(&content); err != nil {
		return nil, err
	}
	return p.styled(content.String())
}

// styled puts the style and a name for those who can't see it behind the picture's first tag.
func (p picture) styled(content string) ([]byte, error) {
	start := strings.Index(content, "<svg")
	end := strings.Index(content[max(start, 0):], ">")
	if start < 0 || end < 0 {
		return nil, fmt.Errorf("no SVG was written: %.40q", content)
	}
	end += start + 1
	return []byte(content[:end] + "<title>" + html.EscapeString(p.title) + "</title>" + pictureStyle + content[end:]), nil
}

// plot returns the axes with the curves, and their names.
func (p picture) plot(all []series) (*plot.Plot, *plot.Legend, error) {
	drawing, legend := plot.New(), plot.NewLegend()
	p.dress(drawing)
	legend.TextStyle.Font, legend.TextStyle.Color = textStyle(9).Font, inkColor
	legend.Top, legend.Left, legend.Padding = true, true, vg.Points(3)
	drawing.Add(&plotter.Grid{Horizontal: draw.LineStyle{Color: gridColor, Width: vg.Points(0.5)}})
	for _, s := range all {
		line, points, err := plotter.NewLinePoints(s.xys())
		if err != nil {
			return nil, nil, err
		}
		line.LineStyle, points.GlyphStyle = s.style()
		if len(s.points) > 1 {
			drawing.Add(line)
		}
		drawing.Add(points)
		legend.Add(s.label, line, points)
	}
	p.scale(drawing, all)
	return drawing, &legend, nil
}

// dress gives everything but the curves its colour and font. Nothing is drawn behind it, so the page shows through.
func (p picture) dress(drawing *plot.Plot) {
	drawing.BackgroundColor = nil
	drawing.Title.Text, drawing.X.Label.Text, drawing.Y.Label.Text = p.title, p.across.label, p.up
	drawing.Title.TextStyle.Font, drawing.Title.TextStyle.Color = textStyle(12).Font, inkColor
	drawing.Title.Padding = vg.Points(8)
	for _, axis := range []*plot.Axis{&drawing.X, &drawing.Y} {
		axis.Color, axis.Tick.Color, axis.Tick.Label.Color, axis.Label.TextStyle.Color = inkColor, inkColor, inkColor, inkColor
		axis.Label.TextStyle.Font, axis.Tick.Label.Font = textStyle(10).Font, textStyle(9).Font
		axis.Padding = vg.Points(8)
	}
}

// scale makes the axes as long as the points need, with marks where they are and at round figures.
func (p picture) scale(drawing *plot.Plot, all []series) {
	var xs, ys []float64
	for _, s := range all {
		for _, point := range s.points {
			xs, ys = append(xs, point.x), append(ys, point.y)
		}
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	marks := plot.ConstantTicks{}
	for _, x := range xs {
		label := ""
		if p.across.places != nil {
			label = p.across.places[int(x)]
		} else {
			label = p.across.mark(x)
		}
		marks = append(marks, plot.Tick{Value: x, Label: label})
	}
	drawing.X.Tick.Marker, drawing.X.Min, drawing.X.Max = marks, xs[0], xs[len(xs)-1]
	if p.across.places == nil {
		drawing.X.Scale = plot.LogScale{}
	}
	if p.flat {
		drawing.Y.Min, drawing.Y.Max = 0, slices.Max(ys)*1.05
		return
	}
	rounds := roundFigures(slices.Min(ys), slices.Max(ys))
	drawing.Y.Scale = plot.LogScale{}
	drawing.Y.Tick.Marker, drawing.Y.Min, drawing.Y.Max = rounds, rounds[0].Value, rounds[len(rounds)-1].Value
}

// roundFigures are 1, 2, 5 and their multiples by powers of ten, from one below the least to one above the greatest. Where
// there are many, powers of ten alone have a label.
func roundFigures(least, greatest float64) (marks plot.ConstantTicks) {
	const crowded = 10
	digits := []float64{1, 2, 5}
	power := math.Pow(10, math.Floor(math.Log10(least))-1)
	var values []float64
	for i := 0; len(values) == 0 || values[len(values)-1] <= greatest; i++ {
		value := digits[i%3] * power
		if i%3 == 2 {
			power *= 10
		}
		if value <= least {
			values = values[:0] // The ones before are further below than it takes.
		}
		values = append(values, value)
	}
	for _, value := range values {
		mark := plot.Tick{Value: value, Label: short(value)}
		if len(values) > crowded && !strings.HasPrefix(strings.TrimLeft(mark.Label, "0."), "1") {
			mark.Label = ""
		}
		marks = append(marks, mark)
	}
	return marks
}

func (s series) xys() plotter.XYs {
	xys := make(plotter.XYs, len(s.points))
	for i, point := range s.points {
		xys[i] = plotter.XY{X: point.x, Y: point.y}
	}
	return xys
}

// style has Walnut's curves thicker than others, and each one's dashes and points its own.
func (s series) style() (draw.LineStyle, draw.GlyphStyle) {
	paint, known := peerColors[s.peer.Name]
	width := vg.Points(1.5)
	if !known {
		paint = limitColor
	}
	if isWalnut(s.peer) {
		width = vg.Points(2.5)
	}
	glyphs := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}}
	line := draw.LineStyle{Color: paint, Width: width, Dashes: dashes[s.curve%len(dashes)]}
	return line, draw.GlyphStyle{Color: paint, Radius: vg.Points(2.5), Shape: glyphs[s.curve%len(glyphs)]}
}

func textStyle(size float64) draw.TextStyle {
	return draw.TextStyle{
		Color: inkColor, Handler: plot.DefaultTextHandler,
		Font: font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, vg.Points(size)),
	}
}

// captionOf says where and how the figures of a picture were measured, each run once.
func captionOf(all []series) string {
	var rounds []Measurement
	for _, s := range all {
		for _, point := range s.points {
			rounds = append(rounds, point.rounds...)
		}
	}
	var captions []string
	for _, origin := range origins(rounds) {
		captions = append(captions, origin.caption())
	}
	return strings.Join(captions, "; ")
}

// wrapped divides a text into lines that are no wider than that, if its words aren't.
func wrapped(text string, style draw.TextStyle, width vg.Length) (lines []string) {
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last >= 0 && style.Width(lines[last]+" "+word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// short writes an amount in thousands or millions.
func short(value float64) string {
	switch {
	case value >= 1e6:
		return fmt.Sprintf("%.4gM", value/1e6)
	case value >= 1e3:
		return fmt.Sprintf("%.4gk", value/1e3)
	}
	return fmt.Sprintf("%.4g", value)
}

// bytesShort writes a size in the unit that makes it a small number.
func bytesShort(value float64) string {
	switch {
	case value >= 1<<20:
		return fmt.Sprintf("%.4g MiB", value/(1<<20))
	case value >= 1<<10:
		return fmt.Sprintf("%.4g KiB", value/(1<<10))
	}
	return fmt.Sprintf("%.4g B", value)
}
