package main

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkPut(b *testing.B)    { benchmark(b, "W1", "W2") }
func BenchmarkBatch(b *testing.B)  { benchmark(b, "W3") }
func BenchmarkGet(b *testing.B)    { benchmark(b, "W4") }
func BenchmarkScan(b *testing.B)   { benchmark(b, "W5") }
func BenchmarkMixed(b *testing.B)  { benchmark(b, "W6") }
func BenchmarkAppend(b *testing.B) { benchmark(b, "L1", "L2") }

// benchmark runs what workloads repeat under Go's own benchmarks: BenchmarkPut/durable/peer=walnut/goroutines=16. One
// process, and a peer at a time, so the runner's figures are the ones to compare; these are for benchstat and profiles.
func benchmark(b *testing.B, selectors ...string) {
	done := map[string]bool{}
	for _, workload := range workloads {
		if !selected(selectors, workload.ID()) || done[workload.Name] {
			continue
		}
		done[workload.Name] = true
		_, name, _ := strings.Cut(workload.Name, "/")
		b.Run(name, func(b *testing.B) { benchmarkPeers(b, workload.Name) })
	}
}

func benchmarkPeers(b *testing.B, name string) {
	for _, peer := range peers {
		var taken []Workload
		for _, workload := range workloads {
			if workload.Name == name && peer.takes(workload) {
				taken = append(taken, workload)
			}
		}
		if len(taken) == 0 {
			continue
		}
		b.Run("peer="+peer.Name, func(b *testing.B) {
			for _, workload := range taken {
				benchmarkWorkload(b, peer, workload)
			}
		})
	}
}

// benchmarkWorkload opens and loads once, when it is known that the benchmark isn't filtered out, for all values of b.N.
func benchmarkWorkload(b *testing.B, peer Peer, workload Workload) {
	data := dataset{pairs: *benchmarkPairs, seed: 1}
	repeated := sync.OnceValue(func() operation { return benchmarkOperation(b, peer, workload, data) })
	workers := sync.OnceValue(func() []*worker { return crew(data, workload) })
	b.Run(strings.TrimPrefix(workload.ID(), workload.Name+"/"), func(b *testing.B) {
		repeated, workers := repeated(), workers()
		b.ReportAllocs()
		b.ResetTimer()
		total, err := drive(workers, repeated, bounds{operations: int64(b.N)})
		b.StopTimer()
		require.NoError(b, err)
		b.ReportMetric(microseconds(total.latency.quantile(0.99)), "p99-µs")
		if workload.record > 0 {
			b.SetBytes(int64(workload.record))
		}
	})
}

// benchmarkOperation opens what a workload is measured on, and loads it where that is called for.
func benchmarkOperation(b *testing.B, peer Peer, workload Workload, data dataset) operation {
	if workload.Log {
		log, err := peer.OpenLog(b.TempDir(), workload.settings())
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, log.Close()) })
		return appendFresh(log)
	}
	store, err := peer.OpenStore(b.TempDir(), workload.settings())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	if workload.loaded {
		require.NoError(b, load(store, data))
	}
	return workload.repeated(store)
}
