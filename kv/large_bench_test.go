package kv

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// scatteredKey returns keys whose order is not that in which they come.
func scatteredKey(i int) []byte { return fmt.Appendf(nil, "%08x", uint32(i)*2654435761) }

// scattered returns a batch of tiny puts, the given number of them or what fits into a commit.
func scattered(count int) *Batch {
	b := &Batch{}
	for i := 0; i < count && len(b.record) < DefaultMaxCommitSize-64; i++ {
		b.Put(scatteredKey(i), []byte("v"))
	}
	return b
}

// longest keeps the longest time that something took.
type longest struct{ atomic.Int64 }

func (l *longest) time(do func()) {
	started := time.Now()
	do()
	took := int64(time.Since(started))
	for most := l.Load(); took > most && !l.CompareAndSwap(most, took); most = l.Load() {
	}
}

// peakHeap samples the bytes of the heap while something runs, garbage that isn't collected yet included, and returns the
// most.
func peakHeap(do func()) (peak uint64) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			peak = max(peak, stats.HeapAlloc)
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	do()
	close(stop)
	<-done
	return peak
}

// BenchmarkPutBesideLargeCommit measures how long one writer waits, at the most, for the large commit of another, beside what
// the same bytes take it beside small commits, and how much memory the commit takes: more than the pairs that are there after
// it, or before it where those are more, in proportion to its size.
func BenchmarkPutBesideLargeCommit(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, large := range []struct {
			name  string
			there int
			batch func() *Batch
		}{
			{"million-keys-by-range", 1_000_000, func() *Batch {
				var b Batch
				b.DeleteRange([]byte("0"), []byte("g"))
				return &b
			}},
			{"64MiB-of-tiny-puts", 0, func() *Batch { return scattered(1 << 30) }},
			{"64MiB-of-tiny-puts-over-a-million", 1_000_000, func() *Batch { return scattered(1 << 30) }},
		} {
			b.Run(fmt.Sprintf("%v/%s", mode, large.name), func(b *testing.B) {
				for range b.N {
					benchmarkLarge(b, mode, large.there, large.batch)
				}
			})
		}
	}
}

func benchmarkLarge(b *testing.B, mode SyncMode, there int, batch func() *Batch) {
	db, err := Open(b.TempDir(), Options{Sync: mode, CheckpointFactor: -1})
	require.NoError(b, err)
	for i := 0; i < there; {
		var part Batch
		for ; part.Len() < 1000; i++ {
			part.Put(scatteredKey(i), []byte("v"))
		}
		_, err := db.Apply(&part)
		require.NoError(b, err)
	}
	commit := batch()
	before := heapBytes()
	var stop atomic.Bool
	var others sync.WaitGroup
	var put, get longest
	others.Go(func() {
		for !stop.Load() {
			put.time(func() { _, _ = db.Put([]byte("other"), []byte("v")) })
			get.time(func() { _, _ = db.Get([]byte("other")) })
			time.Sleep(100 * time.Microsecond)
		}
	})
	time.Sleep(100 * time.Millisecond)
	alone := put.Swap(0)
	started := time.Now()
	peak := peakHeap(func() { _, err = db.Apply(commit) })
	took := time.Since(started)
	require.NoError(b, err)
	stop.Store(true)
	others.Wait()
	size := float64(len(commit.record))
	after := heapBytes()
	b.ReportMetric(took.Seconds(), "commit-s")
	b.ReportMetric(float64(put.Load())/1e6, "longest-put-ms")
	b.ReportMetric(float64(alone)/1e6, "put-alone-ms")
	b.ReportMetric(float64(get.Load())/1e6, "longest-get-ms")
	b.ReportMetric((float64(peak)-float64(max(before, after)))/max(size, float64(there*9)), "memory/size")
	require.NoError(b, db.Close())
	runtime.KeepAlive(commit)
}
