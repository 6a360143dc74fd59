package main

import (
	"encoding/xml"
	"errors"
	"image/color"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// durablePuts are a peer's W1, whose figures grow with the goroutines.
func durablePuts(peer string, least, most float64) (all []Measurement) {
	counts := []int{1, 16, 64, 256}
	for i, goroutines := range counts {
		figure := least * math.Pow(most/least, float64(i)/float64(len(counts)-1))
		all = append(all, Measurement{
			Workload: "W1/durable", Goroutines: goroutines, Peer: peer, Unit: operationsRate, Figure: 1000 * figure,
			Pairs: usualPairs, Keys: randomKeys, ValueBytes: valueSize, P50: 150, P99: 800 * figure, P999: 9000,
			origin: &environment{Processor: "Abacus 9 <fast & loud>", Cores: 3, Date: "2026-11-22", Walnut: "0123456789ab", Command: "walnut-bench -rounds 2"},
		})
	}
	return all
}

// grown are measurements of a workload with more and more pairs.
func grown(t *testing.T, id, peer string, figure float64, extras ...Extra) (all []Measurement) {
	for i, pairs := range []uint64{100_000, 1_000_000, 5_000_000, 10_000_000} {
		m := one(t, id, peer, figure*float64(i+1))
		m.Pairs, m.More = pairs, extras
		all = append(all, m)
	}
	return all
}

// invented are measurements for every picture.
func invented(t *testing.T) []Measurement {
	tail := one(t, "W9/checkpoint/relaxed/goroutines=16", "walnut", 1e5)
	tail.P50, tail.P99, tail.P999 = 20, 900, 2500
	pause := []Extra{{"gc cpu %", 12}, {"longest pause ms", 0.3}}
	sized := func(id string) (all []Measurement) {
		for _, size := range []int{16, 1024, 65536} {
			m := one(t, id, "walnut", 1e9/float64(size+1000))
			m.ValueBytes, m.Pairs = size, 16384
			all = append(all, m)
		}
		return all
	}
	return slices.Concat(durablePuts("walnut", 10, 240), durablePuts("pebble", 4, 160), durablePuts("bare-file", 11, 440),
		[]Measurement{tail}, grown(t, "W7/snapshot/goroutines=1", "walnut", 0.4), grown(t, "W7/clean/goroutines=1", "buntdb", 3),
		grown(t, "W8/heap/goroutines=1", "walnut", 170), grown(t, "S/heap/goroutines=1", "walnut", 171),
		grown(t, "S/get/goroutines=2", "walnut", 1e6), grown(t, "S/put/goroutines=1", "walnut", 4e5),
		grown(t, "S/checkpoint/goroutines=1", "walnut", 0.2), grown(t, "S/start/goroutines=1", "walnut", 0.3),
		grown(t, "G/mixed/goroutines=16", "walnut", 1e5, pause...), grown(t, "G/mixed/durable/goroutines=16", "walnut", 1e4, pause...),
		sized("S/get/goroutines=2"), sized("S/put/goroutines=1"))
}

// textsOf returns what an SVG says, and fails where it isn't one.
func textsOf(t *testing.T, content []byte) (texts []string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(string(content)))
	inside := ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			inside = token.Name.Local
		case xml.EndElement:
			inside = ""
		case xml.CharData:
			if inside == "text" || inside == "title" {
				texts = append(texts, string(token))
			}
		}
	}
}

func TestPicturesSayWhatTheyShow(t *testing.T) {
	dir := t.TempDir()
	links, err := newReport(peers, invented(t)).writePictures(dir)
	require.NoError(t, err)
	require.Len(t, links, len(pictures), "the invented measurements are enough for every picture")
	for i, p := range pictures {
		content, err := os.ReadFile(filepath.Join(dir, p.file+".svg"))
		require.NoError(t, err)
		require.Less(t, len(content), 30_000, "%s is too heavy to be committed", p.file)
		texts := textsOf(t, content)
		for _, want := range []string{p.title, p.across.label, p.up} {
			require.Contains(t, texts, want, p.file)
		}
		require.Contains(t, strings.Join(texts, " "), "walnut", p.file)
		require.Equal(t, p.title, links[i].title)
	}
}

func TestPictureHasItsCurvesMarksAndCaption(t *testing.T) {
	r := newReport(peers, invented(t))
	throughput := pictures[0]
	content, err := throughput.draw(r.seriesOf(throughput))
	require.NoError(t, err)
	texts := textsOf(t, content)
	for _, want := range []string{"walnut", "pebble", "bare-file", "1", "16", "64", "256"} {
		require.Contains(t, texts, want)
	}
	require.Contains(t, strings.Join(texts, " "), "Abacus 9 <fast & loud>, 3 cores,")
	require.Contains(t, strings.Join(texts, " "), "2026-11-22, Walnut 0123456789ab: walnut-bench -rounds 2")
	require.NotContains(t, string(content), "<rect", "nothing is drawn behind the curves")
}

func TestPicturesCanBeReadOnADarkPage(t *testing.T) {
	throughput := pictures[0]
	content, err := throughput.draw(newReport(peers, invented(t)).seriesOf(throughput))
	require.NoError(t, err)
	require.Contains(t, string(content), pictureStyle)
	for _, replaced := range []string{"stroke:#57606A", "stroke:#D8DEE4"} {
		require.Contains(t, pictureStyle, `[style*="`+replaced+`"]`)
		require.Contains(t, strings.ReplaceAll(string(content), pictureStyle, ""), replaced, "what the rule of style replaces")
	}
	colors := append(slices.Collect(maps.Values(peerColors)), limitColor)
	for _, c := range colors {
		require.GreaterOrEqual(t, contrast(c, color.RGBA{0xff, 0xff, 0xff, 0xff}), 3.0, "%v on white", c)
		require.GreaterOrEqual(t, contrast(c, color.RGBA{0x0d, 0x11, 0x17, 0xff}), 3.0, "%v on nearly black", c)
	}
}

// contrast is that of the Web Content Accessibility Guidelines: 3 is enough for lines.
func contrast(a, b color.RGBA) float64 {
	luminance := func(c color.RGBA) float64 {
		linear := func(part uint8) float64 {
			value := float64(part) / 255
			if value <= 0.04045 {
				return value / 12.92
			}
			return math.Pow((value+0.055)/1.055, 2.4)
		}
		return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
	}
	lighter, darker := max(luminance(a), luminance(b)), min(luminance(a), luminance(b))
	return (lighter + 0.05) / (darker + 0.05)
}

func TestPicturesAreTheSameEachTime(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, dir := range []string{first, second} {
		_, err := newReport(peers, invented(t)).writePictures(dir)
		require.NoError(t, err)
	}
	for _, p := range pictures {
		a, err := os.ReadFile(filepath.Join(first, p.file+".svg"))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(second, p.file+".svg"))
		require.NoError(t, err)
		require.Equal(t, string(a), string(b), p.file)
	}
}

func TestPicturesThatWouldHaveNoLineAreLeftOut(t *testing.T) {
	single := one(t, "S/get/goroutines=2", "walnut", 5)
	r := newReport(peers, append(made("walnut", 5), single))
	for _, p := range pictures {
		if p.across.places == nil {
			require.Nil(t, r.seriesOf(p), p.file)
		}
	}
}

func TestPicturePointsAreOfOneDataSet(t *testing.T) {
	at := func(pairs uint64, size int, keys string, figure float64) Measurement {
		m := one(t, "S/get/goroutines=2", "walnut", figure)
		m.Pairs, m.ValueBytes, m.Keys = pairs, size, keys
		return m
	}
	r := newReport(peers, []Measurement{
		at(10_000_000, 100, randomKeys, 1), at(usualPairs, 100, randomKeys, 2), at(5_000_000, 100, randomKeys, 3),
		at(usualPairs, 100, "sequential", 4), at(16384, 65536, randomKeys, 5), at(32768, 65536, randomKeys, 6),
	})
	heights := func(across dimension) (all [][2]float64) {
		for _, p := range r.points(across, curve{workload: "S/get"}, "walnut") {
			all = append(all, [2]float64{p.x, p.y})
		}
		return all
	}
	require.Equal(t, [][2]float64{{1e6, 2}, {5e6, 3}, {1e7, 1}}, heights(acrossPairs))
	require.Equal(t, [][2]float64{{100, 2}, {65536, 6}}, heights(acrossValueBytes), "the usual number of pairs, or else the most")
}

func TestPictureRoundFigures(t *testing.T) {
	for _, test := range []struct{ least, greatest, first, last float64 }{
		{190, 230, 100, 500},
		{1, 1, 1, 2},
		{1000, 9000, 1000, 10000},
		{0.0004, 3, 0.0002, 5},
		{3, 2e6, 2, 5e6},
	} {
		marks := roundFigures(test.least, test.greatest)
		require.InEpsilon(t, test.first, marks[0].Value, 1e-9)
		require.InEpsilon(t, test.last, marks[len(marks)-1].Value, 1e-9)
		labels := 0
		for _, mark := range marks {
			if mark.Label != "" {
				labels++
			}
		}
		require.LessOrEqual(t, labels, 10)
	}
}
