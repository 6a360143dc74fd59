package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// made are measurements of the figures of some rounds.
func made(t *testing.T, id, peer string, figures ...float64) (all []Measurement) {
	t.Helper()
	_, err := workloadByID(id)
	require.NoError(t, err)
	for round, figure := range figures {
		all = append(all, Measurement{Workload: id, Peer: peer, Round: round + 1, Figures: map[string]float64{mainFigure: figure, "p99 µs": 10 * figure}})
	}
	return all
}

func TestBarsAreAboutWorkloadsAndPeersThatThereAre(t *testing.T) {
	known := []string{"best", "limit", "itself", "badger", "etcd-wal", "raft-wal"} // The last three are left out by a build tag.
	for _, peer := range allPeers() {
		known = append(known, peer.Name)
	}
	for _, b := range readBars() {
		names, instead, _ := strings.Cut(b.against, "@")
		for _, id := range []string{b.workload, instead} {
			if w, err := workloadByID(id); id != "" {
				require.NoError(t, err)
				require.True(t, b.atLeast == 0 || b.goal == 0 || lessIsBetter(w.Unit, b.figure) == (b.goal < b.atLeast), "%v", b)
			}
		}
		require.True(t, b.atLeast > 0 || b.goal > 0, "%v asks for nothing", b)
		require.Subset(t, known, strings.Split(names, "|"))
	}
}

func TestBarsAreJudgedByMedians(t *testing.T) {
	var all []Measurement
	for _, some := range [][]Measurement{
		made(t, "W1/durable/1", "walnut", 99, 1, 100), made(t, "W1/durable/1", "buntdb", 80), made(t, "W1/durable/1", "bbolt", 90),
		made(t, "W1/durable/1", "bare-file", 100),
		made(t, "W1/durable/64", "walnut", 250, 270), made(t, "W1/durable/64", "pebble", 100),
		made(t, "W7/snapshot", "walnut", 1), made(t, "W7/snapshot/pairs=x5", "walnut", 4.8),
		made(t, "W8/checkpoint", "walnut", 1.375),
		made(t, "W6/A/relaxed", "walnut", 90), made(t, "W6/A/relaxed", oldName, 100),
	} {
		all = append(all, some...)
	}
	page := newReport(all).page(nil)
	for _, want := range []string{
		"| W1/durable/1 | ops/s | 99 | bbolt 90 | 1.1 | 1.2 | – | **short by 8.33 %** |",
		"| W1/durable/1 | ops/s | 99 | bare-file 100 | 0.99 | – | 0.9 | goal reached |",
		"| W1/durable/64 | ops/s | 260 | pebble 100 | 2.6 | 1.3 | 2 | goal reached |",
		"| W1/durable/64 | p99 µs | 2 600 | pebble 1 000 | 2.6 | 1 | – | **short by 160 %** |",
		"| W7/snapshot/pairs=x5 | s | 4.8 | walnut 1 in W7/snapshot | 4.8 | 5 | 4.5 | reached |",
		"| W8/checkpoint | live heaps | 1.38 | itself | 1.38 | 1.25 | 1.1 | **short by 10 %** |",
		"| W6/A/relaxed | ops/s | 90 | walnut-old 100 | 0.9 | 0.97 | – | **short by 7.22 %** |",
		"| W1/durable/1 | – | walnut | 99 ops/s | 1 to 100 | 1.1 | 0.99 |",
	} {
		require.Contains(t, page, want)
	}
	require.NotContains(t, page, "| W6/A/relaxed | ops/s | 90 | pebble", "what was not measured has no row")
}

func TestPicturesHaveALineForEachPeer(t *testing.T) {
	all := append(made(t, "W1/durable/1", "walnut", 10), made(t, "W1/durable/16", "walnut", 90)...)
	dir := t.TempDir()
	links, err := newReport(all).draw(dir, dir)
	require.NoError(t, err)
	require.Equal(t, []string{"throughput-by-goroutines.svg", "latency-by-goroutines.svg"}, links)
}

// TestPagesNameWorkloadsThatThereAre leaves out pages whose figures are of an older commit, as they say.
func TestPagesNameWorkloadsThatThereAre(t *testing.T) {
	named := regexp.MustCompile("-workloads '?([^ `']+)")
	for _, page := range []string{"README.md", "../README.md", "../CONTRIBUTING.md", "../docs/testing.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range named.FindAllStringSubmatch(string(text), -1) {
			for pattern := range strings.SplitSeq(match[1], ",") {
				require.True(t, slices.ContainsFunc(workloads, func(w Workload) bool { return matches(pattern, w.ID) }), "%s: %s", page, match[0])
			}
		}
	}
}
