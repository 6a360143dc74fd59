package kv

import (
	"testing"

	"github.com/walnutkv/walnut/snapshot"
)

// What a pair costs on its way into the tree and out of it: its memory, its order number, and its entry in a snapshot.

func BenchmarkNewPair(b *testing.B) {
	key, value := benchmarkKey(1), make([]byte, 100)
	var made pair
	b.ReportAllocs()
	for b.Loop() {
		made = newPair(key, value, 0)
	}
	if made.size() != 116 {
		b.Fatal("the pair is another")
	}
}

func BenchmarkKeyOrder(b *testing.B) {
	key, common := []byte("user000000012345"), []byte("user0000")
	b.ReportAllocs()
	for b.Loop() {
		keyOrder(key, common)
	}
}

// BenchmarkMakeEntries measures a state of 200,000 pairs on its way into a snapshot that is not written.
func BenchmarkMakeEntries(b *testing.B) {
	s := headOf(openFull(b))
	b.ReportAllocs()
	bytes := 0
	for b.Loop() {
		bytes = 0
		for key, data := range s.entries() {
			bytes += len(key) + len(data)
		}
	}
	b.SetBytes(int64(bytes))
	b.ReportMetric(float64(benchmarkKeys)*float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}

func BenchmarkDecodePair(b *testing.B) {
	e := snapshot.Entry{Key: benchmarkKey(1), Data: make([]byte, 101)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodePair(e); err != nil {
			b.Fatal(err)
		}
	}
}
