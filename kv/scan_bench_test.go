package kv

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkScan measures iterations from the middle of a store on, whose start is felt where they are short.
func BenchmarkScan(b *testing.B) {
	db := openFull(b)
	middle := []byte("8") // Keys are hexadecimal digits.
	for _, pairs := range []int{1, 100, 10_000} {
		for _, reverse := range []bool{false, true} {
			b.Run(fmt.Sprintf("pairs=%d/reverse=%t", pairs, reverse), func(b *testing.B) {
				r := Range{Start: middle, Limit: pairs}
				if reverse {
					r = Range{End: middle, Limit: pairs, Reverse: true}
				}
				b.ReportAllocs()
				for b.Loop() {
					got := 0
					for range db.Scan(r) {
						got++
					}
					if got != pairs {
						b.Fatalf("%d pairs", got)
					}
				}
			})
		}
	}
}

// BenchmarkCount measures counting, which goes through the pairs as well but hands nothing out.
func BenchmarkCount(b *testing.B) {
	db := openFull(b)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, db.View(func(tx *Tx) error {
			if got, err := tx.Count(Range{}); err != nil || got != benchmarkKeys {
				b.Fatalf("%d pairs, %v", got, err)
			}
			return nil
		}))
	}
}
