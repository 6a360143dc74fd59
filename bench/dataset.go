package main

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
)

// The usual sizes of a key and a value, in bytes.
const (
	keySize   = 16
	valueSize = 100
)

// Each name of a shape of keys says what they have in common.
const (
	randomKeys     = "random"     // Nothing: 16 bytes.
	sequentialKeys = "sequential" // They count: user000000000042.
	prefixedKeys   = "prefixed"   // The first 48 bytes, before 16 random ones.
)

// keyShapes are the names, each at the place that is its keyShape.
var keyShapes = []string{randomKeys, sequentialKeys, prefixedKeys}

// keyShape is a shape by its number: what is asked for each key is cheap to ask then.
type keyShape uint8

const (
	randomShape keyShape = iota
	sequentialShape
	prefixedShape
)

const (
	sequentialPrefix = "user"
	sharedPrefix     = "tenant/00000042/region/eu-north-1/table/session/" // Such as a program makes of what its keys are in.
)

// dataset says what pair i is, for every i, without holding any: what a process has in memory is the peer's.
type dataset struct {
	pairs      uint64 // How many are loaded where a workload starts on a loaded store.
	seed       uint64
	shape      keyShape
	valueBytes int // Of each value; 0 is the usual size.
}

// keySize returns how long every key is, in bytes.
func (d dataset) keySize() int {
	if d.shape == prefixedShape {
		return len(sharedPrefix) + keySize
	}
	return keySize
}

// valueSize returns how long every value is, in bytes.
func (d dataset) valueSize() int { return cmp.Or(d.valueBytes, valueSize) }

// bytes returns how long all keys and values are together.
func (d dataset) bytes() uint64 { return d.pairs * uint64(d.keySize()+d.valueSize()) }

// mix scatters numbers: a bijection on 64 bits (the finalizer of splitmix64), so that different numbers stay different.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

const golden = 0x9e3779b97f4a7c15

// key writes the key of pair i into dst, which holds keySize bytes. No two keys are the same, and but for sequential ones
// they come in random order.
func (d dataset) key(dst []byte, i uint64) {
	if d.shape == sequentialShape {
		putCount(dst, i)
		return
	}
	putKey(d.behindPrefix(dst), mix(mix(d.seed)+i))
}

// orderedKey is key with ascending keys for i from 0 to pairs-1; random ones spread over all of the key space.
func (d dataset) orderedKey(dst []byte, i uint64) {
	if d.shape == sequentialShape {
		putCount(dst, i)
		return
	}
	step := math.MaxUint64 / d.pairs
	putKey(d.behindPrefix(dst), i*step+mix(mix(d.seed)+i)%step)
}

// behindPrefix returns the part of a key that differs from other keys, once the rest is in place.
func (d dataset) behindPrefix(dst []byte) []byte {
	if d.shape == prefixedShape {
		return dst[copy(dst, sharedPrefix):]
	}
	return dst
}

// putCount writes a number behind a word, with leading zeros, so that keys are in the order of their numbers.
func putCount(dst []byte, i uint64) {
	copy(dst, sequentialPrefix)
	for place := keySize - 1; place >= len(sequentialPrefix); place-- {
		dst[place] = '0' + byte(i%10)
		i /= 10
	}
}

func putKey(dst []byte, high uint64) {
	binary.BigEndian.PutUint64(dst, high)
	binary.BigEndian.PutUint64(dst[8:], mix(high+golden))
}

// shuffled returns a number from 0 to pairs-1 for every i: each of them once for i from any multiple of pairs to the next,
// in an order that looks random.
func (d dataset) shuffled(i uint64) uint64 {
	for i %= d.pairs; ; {
		if i = d.scatter(i); i < d.pairs {
			return i
		}
	}
}

// spread makes pairs of ranks, so that which pairs are popular is random. Where keys are, it is so already.
func (d dataset) spread(ranks []uint32) {
	if d.shape != sequentialShape {
		return
	}
	for i, rank := range ranks {
		ranks[i] = uint32(d.shuffled(uint64(rank)))
	}
}

// scatter is a bijection on the numbers of as many bits as pairs has. Multiplying by an odd number and folding the upper half
// onto the lower one can both be undone.
func (d dataset) scatter(i uint64) uint64 {
	width := bits.Len64(d.pairs)
	mask := uint64(1)<<width - 1
	for range 3 {
		i = i*golden&mask ^ mix(d.seed)&mask
		i ^= i >> ((width + 1) / 2)
	}
	return i
}

// value writes the value of pair i into dst.
func (d dataset) value(dst []byte, i uint64) { fill(dst, mix(d.seed+golden)+i) }

// fill writes incompressible bytes into dst.
func fill(dst []byte, seed uint64) {
	state := mix(seed)
	if len(dst) >= bigValue {
		dst = fillBig(dst, state)
	}
	for ; len(dst) >= 8; dst = dst[8:] {
		state += golden
		binary.LittleEndian.PutUint64(dst, mix(state))
	}
	for i := range dst {
		dst[i] = byte(mix(state + golden + uint64(i)))
	}
}

// bigValue is the length in bytes from which on making a value with mix would take much of the time of putting it.
const bigValue = 512

// fillBig writes what fits into dst in pieces of 32 bytes and returns the rest of it. One multiplication makes eight bytes.
func fillBig(dst []byte, state uint64) (rest []byte) {
	for len(dst) >= 32 {
		part := dst[:32:32]
		for place := 0; place < 32; place += 8 {
			state += golden
			high, low := bits.Mul64(state, state^0xbf58476d1ce4e5b9)
			binary.LittleEndian.PutUint64(part[place:], high^low)
		}
		dst = dst[32:]
	}
	return dst
}
