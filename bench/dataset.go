package main

import (
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
)

// What the shape of keys says that they have in common.
const (
	randomKeys     = "random"     // Nothing: 16 random bytes.
	sequentialKeys = "sequential" // They count: user000000000042.
	prefixedKeys   = "prefixed"   // The first 48 bytes, before 16 random ones.
	tablesKeys     = "tables"     // One of eight short prefixes, before 16 random bytes.
	tenantsKeys    = "tenants"    // One of a thousand prefixes of equal length; loaded in the order of keys.
	shuffledKeys   = "shuffled"   // The same keys, loaded in another order.
)

var keyShapes = []string{randomKeys, sequentialKeys, prefixedKeys, tablesKeys, tenantsKeys, shuffledKeys}

const (
	keySize          = 16
	sequentialPrefix = "user"
	sharedPrefix     = "tenant/00000042/region/eu-north-1/table/session/"
	tenantPrefix     = "tenant/0000/"
	tenants          = 1000
	shuffle          = 2_654_435_761 // A prime above any number of pairs, so that its multiples meet each place once.
)

// tables are in order, and have one length, since keys have one.
var tables = []string{"acl/", "blob", "cart", "idx:", "item", "sess", "user", "usr2"}

// dataset computes pair i for every i and holds none, so that what a process has in memory is the peer's.
type dataset struct {
	pairs      uint64 // How many are loaded, where a workload starts on a loaded store.
	seed       uint64
	keys       string // Their shape.
	valueBytes int    // Of each value.
}

func (d dataset) keySize() int {
	switch d.keys {
	case prefixedKeys:
		return len(sharedPrefix) + keySize
	case tablesKeys:
		return len(tables[0]) + keySize
	case tenantsKeys, shuffledKeys:
		return len(tenantPrefix) + keySize
	}
	return keySize
}

// bytes returns the length of all keys and values.
func (d dataset) bytes() uint64 { return d.pairs * uint64(d.keySize()+d.valueBytes) }

// mix scatters numbers: a bijection on 64 bits (the finalizer of splitmix64), so that different numbers stay different.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

const golden = 0x9e3779b97f4a7c15

// key writes the key of pair i into dst, which holds keySize bytes. All keys differ, and all but sequential ones come in
// random order.
func (d dataset) key(dst []byte, i uint64) {
	if d.keys == shuffledKeys {
		i += i%d.pairs*shuffle%d.pairs - i%d.pairs
	}
	d.putKey(dst, i, mix(mix(d.seed)+i))
}

// orderedKey is key, but ascending for i from 0 to pairs-1; random keys spread over all of the key space.
func (d dataset) orderedKey(dst []byte, i uint64) {
	step := math.MaxUint64 / d.pairs
	d.putKey(dst, i, i*step+mix(mix(d.seed)+i)%step)
}

func (d dataset) putKey(dst []byte, i, random uint64) {
	switch d.keys {
	case sequentialKeys:
		copy(dst, sequentialPrefix)
		putDecimal(dst[len(sequentialPrefix):keySize], i)
		return
	case tenantsKeys, shuffledKeys:
		each := max(1, d.pairs/tenants)
		copy(dst, tenantPrefix)
		putDecimal(dst[len(tenantPrefix)-5:len(tenantPrefix)-1], i/each)
		putDecimal(dst[len(tenantPrefix):len(tenantPrefix)+keySize], i)
		return
	case prefixedKeys:
		dst = dst[copy(dst, sharedPrefix):]
	case tablesKeys:
		dst = dst[copy(dst, tables[random>>61]):]
	}
	binary.BigEndian.PutUint64(dst, random)
	binary.BigEndian.PutUint64(dst[8:], mix(random+golden))
}

// putDecimal fills dst with the digits of i.
func putDecimal(dst []byte, i uint64) {
	for place := len(dst) - 1; place >= 0; place-- {
		dst[place] = '0' + byte(i%10)
		i /= 10
	}
}

// value writes the value of pair i into dst.
func (d dataset) value(dst []byte, i uint64) { fill(dst, mix(d.seed+golden)+i) }

// fill writes incompressible bytes into dst. One multiplication makes eight of them, so that filling 64 KiB costs little of
// what it takes to put them.
func fill(dst []byte, seed uint64) {
	state := mix(seed)
	next := func() uint64 {
		state += golden
		high, low := bits.Mul64(state, state^0xbf58476d1ce4e5b9)
		return high ^ low
	}
	for ; len(dst) >= 8; dst = dst[8:] {
		binary.LittleEndian.PutUint64(dst, next())
	}
	for i := range dst {
		dst[i] = byte(next())
	}
}

// zipfTheta is YCSB's constant: how much more often the first of n keys is asked for than the others.
const zipfTheta = 0.99

// zipfDraws is how many ranks are drawn before a measurement, so that the power function isn't part of it.
const zipfDraws = 1 << 20

// drawZipf returns numbers of pairs, of which the one with rank r comes with a probability in proportion to 1/r^zipfTheta,
// by the inverse of the continuous distribution.
func (d dataset) drawZipf(rng *rand.Rand) []uint32 {
	const power = 1 - zipfTheta
	most := math.Pow(float64(d.pairs)+1, power)
	draws := make([]uint32, zipfDraws)
	for i := range draws {
		rank := uint64(math.Pow(1+rng.Float64()*(most-1), 1/power)) - 1
		draws[i] = uint32(min(rank, d.pairs-1))
	}
	return draws
}
