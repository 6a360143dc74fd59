package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func made(peer string, figures ...float64) (all []Measurement) {
	for _, figure := range figures {
		all = append(all, Measurement{
			Workload: "W1/durable", Goroutines: 16, Peer: peer, Version: "v1", Unit: operationsRate, Figure: figure, P99: 12,
		})
	}
	return all
}

func pageOf(t *testing.T, measurements ...[]Measurement) string {
	var all []Measurement
	for _, some := range measurements {
		all = append(all, some...)
	}
	var page strings.Builder
	require.NoError(t, newReport(peers, all).write(&page, ".", nil))
	return page.String()
}

func TestReportHasMediansSpreadsAndRatios(t *testing.T) {
	page := pageOf(t, made("bare-file", 500), made("pebble", 200, 100, 190), made("bbolt", 50), made("walnut", 300, 260, 100, 340))
	require.Contains(t, page, "| W1/durable/goroutines=16 | ops/s | 280 | pebble 190 | 1.47 | 500 | 0.56 |")
	require.Contains(t, page, "| walnut | v1 | 280 | 100 to 340 | 1.47 | 0.56 |")
	require.Contains(t, page, "| bbolt | v1 | 50 | 50 to 50 | 0.26 | 0.10 |")
	require.Less(t, strings.Index(page, "| walnut | v1"), strings.Index(page, "| bbolt | v1"), "rows are in the order of peers")
}

func TestReportTakesTheLeastForBestWhereLessIsBetter(t *testing.T) {
	seconds := append(append(made("walnut", 3), made("pebble", 2)...), made("buntdb", 9)...)
	for i := range seconds {
		seconds[i].Unit = "s"
	}
	require.Contains(t, pageOf(t, seconds), "| s | 3 | pebble 2 | 1.50 | – | – |")
}

func TestReportSaysWhatFailedAndWhoPromisesLess(t *testing.T) {
	failed := made("walnut", 0)
	failed[0].Error = "disk | gone\nat once"
	weak := made("pebble", 5, 5)
	weak[0].Weaker, weak[1].Weaker = "forgets", "forgets"
	page := pageOf(t, failed, weak)
	require.Contains(t, page, `failed: disk \| gone at once |`)
	require.Contains(t, page, "| – | pebble * 5 | – |")
	require.Equal(t, 1, strings.Count(page, "forgets"), "once is enough")
}

func TestFiguresAreReadable(t *testing.T) {
	for value, want := range map[float64]string{
		0: "0", 0.00034567: "0.000346", 1.5: "1.5", 99.94: "99.9", 100: "100", 999.6: "1 000", 1234567: "1 234 567",
	} {
		require.Equal(t, want, figure(value))
	}
}

// on is measurements as they would be with other data.
func on(pairs uint64, keys string, valueBytes int, measurements []Measurement) []Measurement {
	for i := range measurements {
		measurements[i].Pairs, measurements[i].Keys, measurements[i].ValueBytes = pairs, keys, valueBytes
	}
	return measurements
}

func TestReportTellsDataSetsApart(t *testing.T) {
	page := pageOf(t, on(usualPairs, randomKeys, valueSize, made("walnut", 300)), on(5*usualPairs, randomKeys, valueSize, made("walnut", 200)),
		on(usualPairs, "sequential", valueSize, made("walnut", 400)), on(1000, "sequential", 16, made("walnut", 500)))
	require.Contains(t, page, "| workload | pairs | keys | value bytes | unit | walnut |")
	require.Contains(t, page, "| W1/durable/goroutines=16 | 1 000 000 | random | 100 | ops/s | 300 |")
	require.Contains(t, page, "| W1/durable/goroutines=16 | 5 000 000 | random | 100 | ops/s | 200 |")
	for _, heading := range []string{
		"\n## W1/durable/goroutines=16\n", "\n## W1/durable/goroutines=16, 5 000 000 pairs\n",
		"\n## W1/durable/goroutines=16, sequential keys\n",
		"\n## W1/durable/goroutines=16, 1 000 pairs, sequential keys, values of 16 bytes\n",
	} {
		require.Contains(t, page, heading)
	}
}

func TestReportHasAColumnOnlyForWhatIsUnusual(t *testing.T) {
	page := pageOf(t, on(200_000, randomKeys, valueSize, made("walnut", 300)))
	require.Contains(t, page, "| workload | pairs | unit | walnut |")
	require.Contains(t, pageOf(t, made("walnut", 300)), "| workload | unit | walnut |")
}

func TestReportFindsTheDataOfAFailure(t *testing.T) {
	failed := made("walnut", 0)
	failed[0].Error = "gone"
	page := pageOf(t, on(usualPairs, randomKeys, valueSize, made("walnut", 300)), failed)
	require.Contains(t, page, "| failed: gone |")
	require.Equal(t, 1, strings.Count(page, "\n## W1"), "what isn't said is as usual")
}

func TestTheLongestMountPointAboveADirectoryCounts(t *testing.T) {
	for _, test := range []struct {
		dir, mount string
		want       bool
	}{
		{"/a/b", "/", true},
		{"/a/b", "/a", true},
		{"/a/b", "/a/b", true},
		{"/ab", "/a", false},
		{"/", "/", true},
	} {
		require.Equal(t, test.want, below(test.dir, test.mount), "%s below %s", test.dir, test.mount)
	}
}
