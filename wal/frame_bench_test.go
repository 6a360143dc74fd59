package wal

import (
	"fmt"
	"testing"
)

// Every record pays for these once when it is written, and once more when it is read.

func BenchmarkPayloadSum(b *testing.B) {
	for _, size := range []int{16, 100, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				payloadSum(payload)
			}
		})
	}
}

func BenchmarkAppendFrameHead(b *testing.B) {
	h := frameHead{kind: kindRecord, length: 100, index: 7, back: 3, sum: 0x01020304}
	var encoded []byte
	saltSum := sumUint64(0, 42)
	b.ReportAllocs()
	for b.Loop() {
		encoded = h.appendTo(encoded[:0], saltSum, 4096)
	}
}

func BenchmarkDecodeFrameHead(b *testing.B) {
	saltSum := sumUint64(0, 42)
	encoded := frameHead{kind: kindRecord, length: 100, index: 7, back: 3, sum: 0x01020304}.appendTo(nil, saltSum, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeFrameHead(encoded, saltSum, 4096); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExtendChain(b *testing.B) {
	encoded := frameHead{kind: kindRecord, length: 100}.appendTo(nil, sumUint64(0, 42), 4096)
	chain := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		chain = extendChain(chain, encoded)
	}
}
