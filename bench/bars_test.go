package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// one is a measurement in a workload, by its ID, of a figure that is neither a rate nor a latency unless it is said.
func one(t *testing.T, id, peer string, figure float64) Measurement {
	t.Helper()
	workload, err := workloadByID(id)
	require.NoError(t, err)
	return Measurement{
		Workload: workload.Name, Goroutines: workload.Goroutines, Peer: peer, Unit: workload.Unit, Figure: figure,
		Pairs: usualPairs, Keys: randomKeys, ValueBytes: valueSize,
	}
}

func TestBarsAreAboutWorkloadsAndPeersThatThereAre(t *testing.T) {
	known := append(peerNames(), "badger", "etcd-wal") // The last two are left out by a build tag.
	for _, b := range bars {
		workload, err := workloadByID(b.workload)
		require.NoError(t, err, b.row)
		require.True(t, b.atLeast > 0 || b.goal > 0, "%s asks for nothing", b.row)
		if b.atLeast > 0 && b.goal > 0 {
			require.Equal(t, b.lessIsBetter(workload.Unit), b.goal < b.atLeast, "%s: the goal is more than what is asked for", b.row)
		}
		if b.against.peer != "" {
			require.Contains(t, known, b.against.peer, b.row)
		}
		if b.against.workload != "" {
			_, err = workloadByID(b.against.workload)
			require.NoError(t, err, b.row)
		}
	}
}

func TestBarsHaveEveryGroupOfTheList(t *testing.T) {
	counts := map[string]int{}
	for _, b := range bars {
		group, _, _ := strings.Cut(b.workload, "/")
		counts[group]++
	}
	require.Equal(t, map[string]int{
		"W1": 6, "W2": 4, "W3": 2, "W4": 4, "W5": 4, "W6": 6, "W7": 5, "W8": 3, "W9": 4, "W10": 2, "L1": 6, "L2": 3, "L3": 3,
	}, counts)
}

func TestBarsOutcomes(t *testing.T) {
	for _, test := range []struct {
		about         string
		unit, figure  string
		ratio         float64
		atLeast, goal float64
		want          string
	}{
		{"more is better: below both", operationsRate, "", 0.9, 1.2, 1.5, "**short by 25 %**"},
		{"exactly what is asked for", operationsRate, "", 1.2, 1.2, 1.5, "reached"},
		{"exactly the goal", operationsRate, "", 1.5, 1.2, 1.5, "goal reached"},
		{"nothing but a goal, reached", operationsRate, "", 1, 0, 0.9, "goal reached"},
		{"nothing but a goal, missed", operationsRate, "", 0.45, 0, 0.9, "goal short by 50 %"},
		{"nothing but what is asked for", operationsRate, "", 9, 1, 0, "reached"},
		{"less is better: above both", seconds, "", 0.25, 0.2, 0.1, "**short by 25 %**"},
		{"less is better: below what is asked for", seconds, "", 0.15, 0.2, 0.1, "reached"},
		{"less is better: below the goal", seconds, "", 0.05, 0.2, 0.1, "goal reached"},
		{"a latency where the figure is a rate", operationsRate, "p99 µs", 1.5, 1, 0, "**short by 50 %**"},
		{"a hair too little is too little", operationsRate, "", 0.9996, 1, 0, "**short by 0.04 %**"},
	} {
		v := verdict{bar: bar{figure: test.figure, atLeast: test.atLeast, goal: test.goal}, walnut: &line{unit: test.unit}, ratio: test.ratio}
		require.Equal(t, test.want, v.outcome(), test.about)
	}
}

func TestBarsAreJudgedAgainstTheRightOnes(t *testing.T) {
	slow := one(t, "W1/durable/goroutines=64", "walnut", 260)
	slow.P99 = 300
	rival := one(t, "W1/durable/goroutines=64", "pebble", 100)
	rival.P99 = 200
	five := one(t, "W7/snapshot/goroutines=1", "walnut", 6)
	five.Pairs = 5 * usualPairs
	backup := one(t, "W10/backup/goroutines=1", "walnut", 2)
	backup.More = []Extra{{"its worst put ms", 8}}
	page := pageOf(t, []Measurement{
		one(t, "W1/durable/goroutines=1", "walnut", 99), one(t, "W1/durable/goroutines=1", "buntdb", 90),
		one(t, "W1/durable/goroutines=1", "bbolt", 40), one(t, "W1/durable/goroutines=1", "bare-file", 100),
		slow, rival,
		one(t, "W7/snapshot/goroutines=1", "walnut", 1), one(t, "W7/clean/goroutines=1", "buntdb", 4), five,
		one(t, "W8/checkpoint/goroutines=1", "walnut", 1.4), backup,
	})
	section := page[strings.Index(page, "\n## Bars\n"):strings.Index(page, "\n## W1/")]
	for _, want := range []string{
		"| W1 durable puts, 1 goroutine | W1/durable/goroutines=1 | 99 ops/s | buntdb 90 | 1.10 | 1.1 | – | reached |",
		"| W1 durable puts, 1 goroutine | W1/durable/goroutines=1 | 99 ops/s | bare-file 100 | 0.99 | – | 0.9 | goal reached |",
		"| W1, 64 goroutines | W1/durable/goroutines=64 | 260 ops/s | pebble 100 | 2.60 | 1.3 | 1.7 | goal reached |",
		"| W1, 64 goroutines, p99 | W1/durable/goroutines=64 | p99 300 µs | pebble 200 | 1.50 | 1 | – | **short by 50 %** |",
		"| 1 s | buntdb 4 in W7/clean/goroutines=1 | 0.25 | 0.2 | – | **short by 25 %** |",
		"| W7/snapshot/goroutines=1, 5 000 000 pairs | 6 s | walnut 1 with 1 000 000 pairs | 6.00 | 5.5 | – | **short by 9.09 %** |",
		"| 1.4 live heaps | the figure itself | 1.4 | 1.5 | 1.25 | reached |",
		"| its worst put 8 ms | the figure itself | 8 | 20 | 5 | reached |",
		"W10/backup/goroutines=1 against buntdb",
		"W1/durable/goroutines=16 against pebble; W1/durable/goroutines=256 against pebble",
	} {
		require.Contains(t, section, want)
	}
	require.Equal(t, 8, strings.Count(section, "\n| W"), "rows without data are left out: %s", section)
	require.Less(t, strings.Index(page, "| workload |"), strings.Index(page, "## Bars"), "the summary comes first")
}

func TestBarsPreferTheUsualDataSet(t *testing.T) {
	small, usual := on(200_000, randomKeys, valueSize, append(made("walnut", 10), made("pebble", 1)...)),
		on(usualPairs, randomKeys, valueSize, append(made("walnut", 30), made("pebble", 20)...))
	large := on(usualPairs, randomKeys, 1024, append(made("walnut", 5), made("pebble", 1)...))
	require.Contains(t, pageOf(t, large, small, usual), "| W1/durable/goroutines=16 | 30 ops/s | pebble 20 | 1.50 |")
	require.Contains(t, pageOf(t, large, small), "| W1/durable/goroutines=16, 200 000 pairs | 10 ops/s | pebble 1 | 10.00 |")
	require.NotContains(t, pageOf(t, large), "## Bars", "other values are another question")
}

func TestBarsOfAFailureAreNotJudged(t *testing.T) {
	failed := made("walnut", 0)
	failed[0].Error = "gone"
	require.NotContains(t, pageOf(t, failed, made("pebble", 20)), "## Bars")
}
