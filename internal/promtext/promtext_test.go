package promtext_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/histogram"
	"github.com/walnutkv/walnut/internal/promtext"
)

func TestAPageIsWhatTheFormatSays(t *testing.T) {
	var spread histogram.Histogram
	spread.Record(1)
	spread.Record(3)
	var page promtext.Page
	page.Head("a_total", "All.")
	page.Sample("a_total", 2)
	page.Sample("a_total", 0.5, "", promtext.Text("x", "1\"\\\n"), "", promtext.Text("y", ""))
	page.Head("b", "Now.")
	page.HistogramHead("c", "Sizes.")
	page.Histogram("c", spread.Snapshot(), promtext.Scale{From: 0, To: 1, Unit: 2}, promtext.Text("x", "1"))
	require.Equal(t, `# HELP a_total All.
# TYPE a_total counter
a_total 2
a_total{x="1\"\\\n",y=""} 0.5
# HELP b Now.
# TYPE b gauge
# HELP c Sizes.
# TYPE c histogram
c_bucket{x="1",le="0.5"} 1
c_bucket{x="1",le="1"} 1
c_bucket{x="1",le="+Inf"} 2
c_sum{x="1"} 2
c_count{x="1"} 2
`, page.String())
}

func TestNumbersAreWholeWhereTheyCanBe(t *testing.T) {
	for number, want := range map[float64]string{
		0: "0", 5: "5", 1 << 40: "1099511627776", 0.5: "0.5", 1e-9: "1e-09", 1 << 60: "1.152921504606847e+18",
	} {
		require.Equal(t, want, promtext.Number(number))
	}
}

func TestALabelWhoseNameIsTakenIsRefused(t *testing.T) {
	_, err := promtext.Labels([]promtext.Label{{Name: "role", Value: "x"}}, "outcome", "role")
	require.EqualError(t, err, `label "role": the name is taken`)
}
