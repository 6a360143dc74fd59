package kv

import (
	"bytes"
	"cmp"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// gatheredChunk is how many entries a chunk has. Chunks are never copied to grow.
const gatheredChunk = 4096

// gathered is the entries of different pairs, in the order in which they came.
type gathered struct {
	chunks   [][]indexEntry // All but the last are full.
	count    int
	unsorted bool // The keys of the pairs, which those of a snapshot are in the order of, aren't in order.
}

func (g *gathered) at(i uint64) *indexEntry { return &g.chunks[i/gatheredChunk][i%gatheredChunk] }

// add adds the entries of a pair.
func (g *gathered) add(entries []indexEntry) {
	if g.count > 0 && len(entries) > 0 && !g.unsorted {
		g.unsorted = bytes.Compare(g.at(uint64(g.count-1)).pair.key(), entries[0].pair.key()) > 0
	}
	for len(entries) > 0 {
		if g.count%gatheredChunk == 0 {
			size := min(g.count, gatheredChunk) // The first one grows, since a store may be small.
			g.chunks = append(g.chunks, make([]indexEntry, 0, size))
		}
		last := &g.chunks[len(g.chunks)-1]
		n := min(len(entries), gatheredChunk-len(*last))
		*last = append(*last, entries[:n]...)
		g.count += n
		entries = entries[n:]
	}
}

// load puts the entries into an empty tree. Of each chunk every second entry goes first, as in tree.load. They get ranks, so that
// nothing but the tree's nodes is read meanwhile.
func (g *gathered) load(into *entryTree) {
	chunk := make([]indexEntry, 0, min(g.count, loadChunk))
	rank := uint32(0)
	for places := range slices.Chunk(g.sorted(), loadChunk) {
		chunk = chunk[:0]
		for _, p := range places { // At once, so that the processor waits for many of them at a time.
			chunk = append(chunk, *g.at(p.place & placeMask))
		}
		for i := range chunk {
			if rank < math.MaxUint32 {
				rank++
				chunk[i].key.note = rank
			}
		}
		for first := range 2 {
			for i := first; i < len(chunk); i += 2 {
				into.ReplaceOrInsert(chunk[i])
			}
		}
	}
}

// indexPlace is an entry's order number and place. Sorting them moves fewer bytes, and no pointers.
type indexPlace struct{ order, place uint64 }

// The highest bits of a gathered entry's place are the size of its index key, or longKey where it is over orderSize. So short keys are in their order
// where the places are.
const (
	placeBits = 60
	placeMask = 1<<placeBits - 1
	longKey   = orderSize + 1
)

func (p indexPlace) compare(other indexPlace) int {
	if p.order != other.order {
		return cmp.Compare(p.order, other.order)
	}
	return cmp.Compare(p.place, other.place)
}

// compare orders places as their entries.
func (g *gathered) compare(a, b indexPlace) int {
	if a.order != b.order {
		return cmp.Compare(a.order, b.order)
	}
	if bothLong := min(a.place, b.place)>>placeBits == longKey; !bothLong && !g.unsorted {
		return cmp.Compare(a.place, b.place)
	}
	one, other := g.at(a.place&placeMask), g.at(b.place&placeMask)
	if order := one.compareKeys(other); order != 0 {
		return order
	}
	if g.unsorted {
		return bytes.Compare(one.pair.key(), other.pair.key())
	}
	return cmp.Compare(a.place, b.place)
}

// sorted returns the places of the entries in their order.
func (g *gathered) sorted() []indexPlace {
	places := make([]indexPlace, 0, g.count)
	for _, chunk := range g.chunks {
		for i := range chunk {
			size := min(uint64(chunk[i].key.size), longKey)
			places = append(places, indexPlace{chunk[i].order, size<<placeBits | uint64(len(places))})
		}
	}
	return sortPlaces(places, g.compare)
}

// sortPlaces returns places in an order that goes by their order numbers first. All processors sort parts of them.
func sortPlaces(places []indexPlace, compare func(a, b indexPlace) int) []indexPlace {
	places, ends := divided(places, nil)
	var next atomic.Int64
	var sorting sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		sorting.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(ends)); i = next.Add(1) - 1 {
				start := 0
				if i > 0 {
					start = ends[i-1]
				}
				slices.SortFunc(places[start:ends[i]], compare)
			}
		})
	}
	sorting.Wait()
	return places
}

// dividedBits says into how many parts places are divided: 2 to the power of it, at most.
const dividedBits = 11

// divided returns the places divided into parts by their order numbers, and where each part ends. Within a part they stay in order. They are in
// the given memory, if that is enough.
func divided(places, parts []indexPlace) ([]indexPlace, []int) {
	lowest, highest := uint64(math.MaxUint64), uint64(0)
	for _, p := range places {
		lowest, highest = min(lowest, p.order), max(highest, p.order)
	}
	shift := 0
	if len(places) > 0 {
		shift = max(bits.Len64(highest-lowest)-dividedBits, 0)
	}
	var starts [1<<dividedBits + 1]int
	for _, p := range places {
		starts[(p.order-lowest)>>shift+1]++
	}
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	parts = slices.Grow(parts[:0], len(places))[:len(places)]
	for _, p := range places {
		part := (p.order - lowest) >> shift
		parts[starts[part]] = p
		starts[part]++ // In the end, where the next part started.
	}
	return parts, starts[:len(starts)-1]
}
