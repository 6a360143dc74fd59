package main

import (
	"encoding/binary"
	"math"
)

// The sizes of every key and value, in bytes.
const (
	keySize   = 16
	valueSize = 100
)

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
