package kv

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/walnutkv/walnut/snapshot"
)

// Checksum is a sum over the pairs of a state that depends on nothing but the pairs: their keys, values and deadlines. So copies of a
// store as of the same offset have the same one, whether they were replayed, restored, followed or replicated. It is kept as commits
// are applied, and costs nothing to read. It is no signature: pairs can be chosen so that they have the checksum of others.
// docs/format.md says how it is computed.
type Checksum uint64

// String returns 16 hexadecimal digits.
func (c Checksum) String() string { return fmt.Sprintf("%016x", uint64(c)) }

// MarshalText returns what String does, so it is a string in JSON, whose numbers are not that exact everywhere.
func (c Checksum) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// checkSum compares a state with the snapshot that it was loaded from.
func (s *state) checkSum(info snapshot.Info) error { return compareSums(s.sum, info) }

// compareSums compares the checksum of the pairs of a snapshot with what that says it is, if it does.
func compareSums(sum uint64, info snapshot.Info) error {
	if info.StateSum != 0 && info.StateSum != sum {
		return &CorruptError{Offset: info.Offset, Err: fmt.Errorf("the pairs' checksum is %v, it should be %v", Checksum(sum), Checksum(info.StateSum))}
	}
	return nil
}

// pairSum returns what a pair adds to the checksum of a state. docs/format.md describes it: it is in files. A put computes it twice, so
// it takes a multiplication for eight bytes, as the hashes of the family of wyhash do (Wang Yi and others, 2019), and not CRC-32C, which
// takes twice as long for short pairs.
func pairSum(key, value []byte, deadline int64) uint64 {
	return hash(value, hash(key, uint64(deadline)))
}

// Odd numbers without a pattern.
const (
	hashA = 0x9e3779b97f4a7c15
	hashB = 0xbf58476d1ce4e5b9
	hashC = 0x94d049bb133111eb
)

// hash returns a number that depends on all bits of bytes and of a seed.
func hash(b []byte, seed uint64) uint64 {
	size, first, second := uint64(len(b)), seed^hashC, seed^hashA
	for ; len(b) > 32; b = b[32:] {
		first = fold(binary.LittleEndian.Uint64(b)^hashA, binary.LittleEndian.Uint64(b[8:])^first)
		second = fold(binary.LittleEndian.Uint64(b[16:])^hashB, binary.LittleEndian.Uint64(b[24:])^second)
	}
	if len(b) > 16 {
		second = fold(binary.LittleEndian.Uint64(b)^hashB, binary.LittleEndian.Uint64(b[8:])^second)
		b = b[16:]
	}
	low, high := ends(b)
	return fold(fold(low^hashA, high^first)^second, size^hashC)
}

// ends returns two numbers that up to 16 bytes, of a known count, can be told by.
func ends(b []byte) (low, high uint64) {
	switch n := len(b); {
	case n >= 8:
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		return uint64(b[0]) | uint64(b[n/2])<<8, uint64(b[n-1])
	}
	return 0, 0
}

// fold multiplies two numbers and folds the halves of the product.
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}
