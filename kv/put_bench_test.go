package kv

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPutByOneWriter measures one writer; many, and the peers, are measured by the bench module.
func BenchmarkPutByOneWriter(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, order := range []string{"ascending", "random"} {
			b.Run(fmt.Sprintf("sync=%s/order=%s", mode, order), func(b *testing.B) {
				db, err := Open(b.TempDir(), Options{Sync: mode})
				require.NoError(b, err)
				rng := rand.New(rand.NewPCG(1, 2))
				key, value := make([]byte, 16), make([]byte, 100)
				b.ReportAllocs()
				n := uint64(0)
				for b.Loop() {
					n++
					binary.BigEndian.PutUint64(key, n)
					if order == "random" {
						binary.BigEndian.PutUint64(key, rng.Uint64())
					}
					if _, err := db.Put(key, value); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				require.NoError(b, db.Close())
			})
		}
	}
}
