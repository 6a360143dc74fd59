package kv

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchmarkKeys is how many pairs the store holds that transactions are measured on.
const benchmarkKeys = 200_000

// openFull opens a relaxed store on disk that holds pairs of 16 and 100 bytes.
func openFull(b *testing.B) *DB {
	db := openStore(b, b.TempDir(), Options{Sync: SyncNever})
	var batch Batch
	for i := range benchmarkKeys {
		batch.Put(benchmarkKey(i), make([]byte, 100))
	}
	_, err := db.Apply(&batch)
	require.NoError(b, err)
	return db
}

func benchmarkKey(i int) []byte { return fmt.Appendf(nil, "%016x", uint64(i)*0x9e3779b97f4a7c15) }

// BenchmarkUpdate measures transactions that read and write some random pairs, beside batches that write the same number. What a
// transaction costs more is what reading, the clone and the function cost.
func BenchmarkUpdate(b *testing.B) {
	for _, writes := range []int{0, 1, 4, 16, pendingMax, pendingMax + 1, 256} {
		b.Run(fmt.Sprintf("update/writes=%d", writes), func(b *testing.B) {
			db, value := openFull(b), make([]byte, 100)
			b.ReportAllocs()
			for b.Loop() {
				if err := db.Update(func(tx *Tx) error { return readAndWrite(tx, writes, value) }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("apply/writes=%d", writes), func(b *testing.B) {
			db, value := openFull(b), make([]byte, 100)
			var batch Batch
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				for range writes {
					batch.Put(benchmarkKey(rand.IntN(benchmarkKeys)), value)
				}
				if _, err := db.Apply(&batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func readAndWrite(tx *Tx, writes int, value []byte) error {
	for range writes {
		key := benchmarkKey(rand.IntN(benchmarkKeys))
		if _, err := tx.Get(key); err != nil {
			return err
		}
		if err := tx.Put(key, value); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkUpdateParallel has many goroutines in each other's way.
func BenchmarkUpdateParallel(b *testing.B) {
	db, value := openFull(b), make([]byte, 100)
	b.SetParallelism(16)
	b.ResetTimer()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := db.Update(func(tx *Tx) error { return readAndWrite(tx, 1, value) }); err != nil {
				b.Error(err)
			}
		}
	})
}
