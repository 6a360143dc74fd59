package main

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The sizes of every key and value, in bytes.
const (
	keySize   = 16
	valueSize = 100
)

// randomKeys is the shape of keys that have nothing in common.
const randomKeys = "random"

// dataset says what pair i is, for every i, without holding any: what a process has in memory is the peer's.
type dataset struct {
	pairs uint64 // How many are loaded where a workload starts on a loaded store.
	seed  uint64
}

// mix scatters numbers: a bijection on 64 bits (the finalizer of splitmix64), so that different numbers stay different.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

const golden = 0x9e3779b97f4a7c15

// key writes the key of pair i into dst, which holds keySize bytes. Keys are random, and no two are the same.
func (d dataset) key(dst []byte, i uint64) {
	putKey(dst, mix(mix(d.seed)+i))
}

// orderedKey is key with ascending keys for i from 0 to pairs-1; they spread over all of the key space.
func (d dataset) orderedKey(dst []byte, i uint64) {
	step := math.MaxUint64 / d.pairs
	putKey(dst, i*step+mix(mix(d.seed)+i)%step)
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
	for ; len(dst) >= 8; dst = dst[8:] {
		state += golden
		binary.LittleEndian.PutUint64(dst, mix(state))
	}
	for i := range dst {
		dst[i] = byte(mix(state + golden + uint64(i)))
	}
}
