package kv

import (
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// part returns an index of some bytes of the value, which differ from pair to pair.
func part(name string, from, to int) Index {
	return Index{name, func(_, value []byte) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) { yield(value[from:to]) }
	}}
}

// few returns an index with few keys, which many pairs have.
func few(name string) Index {
	return Index{name, func(_, value []byte) iter.Seq[[]byte] {
		return slices.Values([][]byte{fmt.Appendf(nil, "group%02d", value[0]%100)})
	}}
}

// benchmarkIndexes are what the benchmarks compare: none, and those named.
var benchmarkIndexes = []struct {
	name    string
	indexes []Index
}{
	{"none", nil},
	{"one", []Index{part("a", 0, 8)}},
	{"two", []Index{part("a", 0, 8), part("b", 8, 24)}},
	{"few", []Index{few("a")}},
}

// BenchmarkPutIndexed measures puts of random new keys, and of keys that are there, into stores that take turns, so that what else the
// machine does meets them all alike. Each store's ratio is its rate to that of the store without an index.
func BenchmarkPutIndexed(b *testing.B) {
	const pairs, turnPuts = 100_000, 2000
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, keys := range []string{"new", "same"} {
			b.Run(fmt.Sprintf("sync=%v/keys=%s", mode, keys), func(b *testing.B) {
				stores, took := make([]*DB, len(benchmarkIndexes)), make([]time.Duration, len(benchmarkIndexes))
				for i, c := range benchmarkIndexes {
					stores[i] = openStore(b, b.TempDir(), Options{Sync: mode, Indexes: c.indexes, CheckpointFactor: -1})
					putNoise(b, stores[i], 0, pairs)
				}
				values := pairs
				for done := 0; done < b.N; done += turnPuts {
					for i, db := range stores {
						started := time.Now()
						for n := range min(turnPuts, b.N-done) {
							key := noiseKey(uint64(values + n))
							if keys == "same" {
								key = noiseKey(uint64((values + n) % pairs))
							}
							if _, err := db.Put(key, noiseValue(uint64(values+n))); err != nil {
								b.Fatal(err)
							}
						}
						took[i] += time.Since(started)
					}
					values += turnPuts
				}
				for i, c := range benchmarkIndexes {
					b.ReportMetric(float64(took[i].Nanoseconds())/float64(b.N), c.name+"-ns/put")
					b.ReportMetric(float64(took[0])/float64(took[i]), c.name+"-ratio")
				}
			})
		}
	}
}

// BenchmarkStartIndexed measures opening one store with and without indexes, in turns, and the time from there until an index can be
// scanned. The ratios are of the times for opening to that without.
// -checkpoint.pairs says how many pairs it has.
func BenchmarkStartIndexed(b *testing.B) {
	for _, from := range []string{"snapshot", "log"} {
		b.Run("from="+from, func(b *testing.B) {
			dir, opts := b.TempDir(), Options{Sync: SyncNever, CheckpointFactor: -1}
			db := openNoise(b, dir, opts)
			if from == "snapshot" {
				_, err := db.Checkpoint(b.Context())
				require.NoError(b, err)
			}
			require.NoError(b, db.Close())
			took := make([]time.Duration, len(benchmarkIndexes))
			more := make([]time.Duration, len(benchmarkIndexes))
			for b.Loop() {
				for i, c := range benchmarkIndexes {
					opts.Indexes = c.indexes
					started := time.Now()
					db, err := Open(dir, opts)
					took[i] += time.Since(started)
					require.NoError(b, err)
					started = time.Now()
					for _, x := range c.indexes {
						for range db.ScanIndex(x.Name, Range{Limit: 1}) {
						}
					}
					more[i] += time.Since(started)
					require.NoError(b, db.Close())
				}
			}
			for i, c := range benchmarkIndexes {
				b.ReportMetric(took[i].Seconds()/float64(b.N), c.name+"-s")
				b.ReportMetric(more[i].Seconds()/float64(b.N), c.name+"-more-s")
				b.ReportMetric(float64(took[i])/float64(took[0]), c.name+"-ratio")
			}
		})
	}
}
