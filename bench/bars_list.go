package main

import (
	"fmt"
	"slices"
)

// The opponents that the bars name.
var (
	againstPebble    = opponent{peer: "pebble"}
	againstBuntdb    = opponent{peer: "buntdb"}
	againstBbolt     = opponent{peer: "bbolt"}
	againstGoleveldb = opponent{peer: "goleveldb"}
	againstBadger    = opponent{peer: "badger"}
	againstEtcd      = opponent{peer: "etcd-wal"}
	againstBestPeer  = opponent{best: isRival}
	againstLimit     = opponent{best: isLimit}
	itself           = opponent{}
)

// bars are all there are, in the order of the report.
var bars = slices.Concat(putBars, readBars, mixedBars(), startBars, memoryBars, disturbedBars, logBars())

var putBars = []bar{
	{"W1 durable puts, 1 goroutine", "W1/durable/goroutines=1", "", againstBestPeer, 1.1, 0},
	{"W1 durable puts, 1 goroutine", "W1/durable/goroutines=1", "", againstLimit, 0, 0.9},
	{"W1, 16 goroutines", "W1/durable/goroutines=16", "", againstPebble, 1.2, 1.5},
	{"W1, 64 goroutines", "W1/durable/goroutines=64", "", againstPebble, 1.3, 1.7},
	{"W1, 64 goroutines, p99", "W1/durable/goroutines=64", "p99 µs", againstPebble, 1, 0},
	{"W1, 256 goroutines", "W1/durable/goroutines=256", "", againstPebble, 1.3, 2},
	{"W2 relaxed puts in key order", "W2/ordered/goroutines=1", "", againstPebble, 1, 1.4},
	{"W2 relaxed puts in key order", "W2/ordered/goroutines=1", "", againstBuntdb, 3, 0},
	{"W2 relaxed puts in random order", "W2/random/goroutines=1", "", againstPebble, 0.9, 1.2},
	{"W2 relaxed puts in random order", "W2/random/goroutines=1", "", againstBuntdb, 2, 0},
	{"W3 durable batches of 100", "W3/batch=100/goroutines=1", "", againstPebble, 1, 1.2},
	{"W3 durable batches of 1000", "W3/batch=1000/goroutines=1", "", againstPebble, 1, 1.2},
}

var readBars = []bar{
	{"W4 gets, uniform, 1 goroutine", "W4/uniform/goroutines=1", "", againstBbolt, 1.2, 1.5},
	{"W4 gets, uniform, 2 goroutines", "W4/uniform/goroutines=2", "", againstBbolt, 1.2, 2},
	{"W4 gets, zipfian, 1 goroutine", "W4/zipfian/goroutines=1", "", againstBbolt, 1.2, 1.5},
	{"W4 gets, zipfian, 2 goroutines", "W4/zipfian/goroutines=2", "", againstBbolt, 1.2, 1.5},
	{"W5 full scan", "W5/full/goroutines=1", "", againstBuntdb, 1.1, 1.4},
	{"W5 scans of 100", "W5/short/goroutines=1", "", againstBuntdb, 1.3, 1.4},
	{"W5 full scan after a restart", "W5/full/restarted/goroutines=1", "", againstBbolt, 0.9, 1.1},
	{"W5 scans of 100 after a restart", "W5/short/restarted/goroutines=1", "", againstBbolt, 0.9, 1.1},
}

func mixedBars() (all []bar) {
	for _, mix := range []struct {
		letter        string
		mode          Mode
		atLeast, goal float64
	}{
		{"A", Relaxed, 0.9, 1.1},
		{"B", Relaxed, 1, 1.3},
		{"F", Relaxed, 1, 1.2},
		{"A", Durable, 1.2, 1.6},
		{"B", Durable, 1.1, 1.6},
		{"F", Durable, 1.2, 1.6},
	} {
		all = append(all, bar{
			fmt.Sprintf("W6 YCSB %s %s", mix.letter, mix.mode), fmt.Sprintf("W6/%s/%s/goroutines=16", mix.letter, mix.mode),
			"", againstPebble, mix.atLeast, mix.goal,
		})
	}
	return all
}

// buntdb has no snapshots: its start from an appended file stands against Walnut's from a snapshot.
var startBars = []bar{
	{"W7 start from a snapshot", "W7/snapshot/goroutines=1", "", againstPebble, 1, 0.8},
	{"W7 start from a snapshot", "W7/snapshot/goroutines=1", "", opponent{peer: "buntdb", workload: "W7/clean/goroutines=1"}, 0.2, 0},
	{"W7 start from a snapshot, 5 million pairs", "W7/snapshot/goroutines=1", "", opponent{pairs: 5}, 5.5, 0},
	{"W7 start from the log alone, closed", "W7/clean/goroutines=1", "", againstBuntdb, 0.5, 0.35},
	{"W7 start from the log alone, killed", "W7/killed/goroutines=1", "", againstBuntdb, 0.5, 0.35},
}

var memoryBars = []bar{
	{"W8 live heap per pair", "W8/heap/goroutines=1", "", againstBuntdb, 1, 0.85},
	{"W8 peak memory while a checkpoint runs", "W8/checkpoint/goroutines=1", "", itself, 1.5, 1.25},
	{"W8 peak memory while starting", "W8/start/goroutines=1", "", itself, 1.3, 1.15},
}

var disturbedBars = []bar{
	{"W9 puts with a checkpoint, rate", "W9/checkpoint/relaxed/goroutines=16", "", againstPebble, 0.8, 1.1},
	{"W9 puts with a checkpoint, p99.9", "W9/checkpoint/relaxed/goroutines=16", "p99.9 µs", againstGoleveldb, 1, 0},
	{"W9 puts with a checkpoint, p99.9", "W9/checkpoint/relaxed/goroutines=16", "p99.9 µs", againstBadger, 0, 1},
	{"W9 puts with a checkpoint, worst", "W9/checkpoint/relaxed/goroutines=16", "max µs", againstPebble, 0.5, 0},
	{"W10 backup", "W10/backup/goroutines=1", "", againstBuntdb, 1, 0.6},
	{"W10 worst put beside a backup", "W10/backup/goroutines=1", "its worst put ms", itself, 20, 5},
}

func logBars() (all []bar) {
	for _, durable := range []struct {
		goroutines int
		atLeast    float64
	}{{1, 1}, {16, 6}, {64, 18}} {
		row, id := fmt.Sprintf("Log, durable appends, %d appenders", durable.goroutines), fmt.Sprintf("L1/durable/goroutines=%d", durable.goroutines)
		all = append(all, bar{row, id, "", againstBestPeer, durable.atLeast, 0}, bar{row, id, "", againstLimit, 0, 0.9})
	}
	for _, relaxed := range []struct {
		workload, about string
		atLeast, goal   [3]float64
	}{
		{"L2", "Log, relaxed appends of %d B", [3]float64{3, 2, 1.1}, [3]float64{5, 4, 2}},
		{"L3", "Log, open and read all, records of %d B", [3]float64{3, 2, 1.3}, [3]float64{5, 3, 2}},
	} {
		for i, size := range []int{100, 1 << 10, 64 << 10} {
			all = append(all, bar{
				fmt.Sprintf(relaxed.about, size), fmt.Sprintf("%s/size=%d/goroutines=1", relaxed.workload, size), "", againstEtcd,
				relaxed.atLeast[i], relaxed.goal[i],
			})
		}
	}
	return all
}
