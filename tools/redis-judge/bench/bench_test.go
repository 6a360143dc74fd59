package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFiguresOfRedisBenchmarkAreRead(t *testing.T) {
	out := `WARNING: Could not fetch server CONFIG` + "\n" +
		`"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",` +
		`"max_latency_ms"` + "\n" + `"SET","18181.82","0.842","0.184","0.791","1.311","1.647","3.311"` + "\n"
	f, err := parse(out)
	require.NoError(t, err)
	require.Equal(t, figures{rate: 18181.82, p99: 1647 * time.Microsecond}, f)
	_, err = parse("Error: Connection refused\n")
	require.Error(t, err)
}

func TestThePageHasMediansAndRatios(t *testing.T) {
	turns := func(rates ...float64) (turns []figures) {
		for i, rate := range rates {
			turns = append(turns, figures{rate, time.Duration(i+1) * time.Millisecond})
		}
		return turns
	}
	r := result{task: task{0, "SET", 16, 1}, turns: [2][]figures{turns(900, 1000, 1200), turns(2500, 1e6, 1500)}}
	want := "| SET | 16 | 1 | 1,000 (900 to 1,200) | 2,500 (1,500 to 1,000,000) | 2.50 | 2ms | 2ms |\n"
	require.Equal(t, want, r.line())
	var page strings.Builder
	o := options{rounds: 3, limit: time.Second, pairs: 10}
	require.NoError(t, write(&page, o, []result{r}, [2]float64{200, 240}))
	require.Contains(t, page.String(), want)
	require.Contains(t, page.String(), "ratio 1.20")
	require.Equal(t, 1.5, median([]float64{2, 1}))
}

func TestTasksAreThoseOfTheComparison(t *testing.T) {
	all := tasks()
	require.Len(t, all, 18)
	require.Contains(t, all, task{1, "SET", 50, 16})
	require.NotContains(t, all, task{1, "GET", 50, 16})
}
