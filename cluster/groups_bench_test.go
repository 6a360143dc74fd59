package cluster

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkGroups puts pairs of 16 and 100 bytes into several clusters in this process, each of three nodes with a log of its own. Each key
// belongs to one of them, as where they share slots. It reports what an idle group takes, too.
func BenchmarkGroups(b *testing.B) {
	const clients = 64
	for _, count := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("groups=%d", count), func(b *testing.B) {
			before, goroutines := liveHeap(), runtime.NumGoroutine()
			groups := make([]*trio, count)
			for i := range groups {
				groups[i] = newDirectTrio(b)
			}
			time.Sleep(time.Second) // The first commits after an election are none of an idle group's.
			kept, running := liveHeap()-before, runtime.NumGoroutine()-goroutines
			leaders := make([]*Cluster, count)
			for i, g := range groups {
				leaders[i] = g.nodes[g.leader()]
			}
			share(b, clients, func(n int) error {
				_, err := leaders[n%count].DB().Put(fmt.Appendf(nil, "%016d", n), make([]byte, 100))
				return err
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			b.ReportMetric(float64(kept)/float64(count)/(1<<10), "KiB/group")
			b.ReportMetric(float64(running)/float64(count), "goroutines/group")
		})
	}
}

// liveHeap returns how many bytes live in the heap.
func liveHeap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
