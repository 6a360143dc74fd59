package kv

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPutBesideWatchers measures what watchers that want every commit cost 16 writers.
func BenchmarkPutBesideWatchers(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, watchers := range []int{0, 1, 1000} {
			b.Run(fmt.Sprintf("%v/watchers=%d", mode, watchers), func(b *testing.B) {
				db, err := Open(b.TempDir(), Options{Sync: mode})
				require.NoError(b, err)
				ctx, cancel := context.WithCancel(b.Context())
				var watching, writers sync.WaitGroup
				var seen, next atomic.Int64
				for range watchers {
					commits := db.Watch(ctx, WatchOptions{})
					watching.Go(func() {
						for range commits {
							seen.Add(1)
						}
					})
				}
				b.ResetTimer()
				for range 16 {
					writers.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							_, err := db.Put(noiseKey(uint64(i)), []byte("value"))
							require.NoError(b, err)
						}
					})
				}
				writers.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
				b.ReportMetric(float64(seen.Load())/float64(max(1, b.N*watchers)), "seen/put")
				cancel()
				watching.Wait()
				require.NoError(b, db.Close())
			})
		}
	}
}
