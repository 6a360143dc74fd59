package kv

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"slices"
	"sort"
)

// decided says which keys a batch decides: after it their pairs are what it made of them, whatever was there before. It keeps
// no keys but their positions in the batch, since a batch may have millions of mutations that are no longer than a word.
type decided struct {
	mutations []byte
	slots     []uint32 // Of puts and deletes, by the hash of the key: one more than their position; 0 is none.
	ranges    []extent // Of range deletes, by their starts.
	seed      maphash.Seed
}

// extent is the position of a range delete, and that of the one which reaches farthest of it and all before it.
type extent struct{ from, to uint32 }

func newDecided(b *Batch) *decided {
	d := &decided{mutations: b.mutations(), seed: maphash.MakeSeed()}
	d.slots = make([]uint32, 1<<bits.Len(uint(b.count-b.ranges)*4/3+1))
	for rest := d.mutations; len(rest) > 0; {
		position := uint32(len(d.mutations) - len(rest))
		var m Mutation
		switch rest = m.next(rest); {
		case m.Kind != MutationDeleteRange:
			d.slots[d.slot(m.Key)] = position + 1
		case len(m.End) == 0 || bytes.Compare(m.Key, m.End) < 0:
			d.ranges = append(d.ranges, extent{position, position})
		}
	}
	slices.SortFunc(d.ranges, func(a, b extent) int { return bytes.Compare(d.at(a.from).Key, d.at(b.from).Key) })
	for i := 1; i < len(d.ranges); i++ {
		before := d.ranges[i-1].to
		end, farthest := d.at(d.ranges[i].to).End, d.at(before).End
		if len(farthest) == 0 || len(end) > 0 && bytes.Compare(end, farthest) <= 0 {
			d.ranges[i].to = before
		}
	}
	return d
}

func (d *decided) at(position uint32) (m Mutation) {
	m.next(d.mutations[position:])
	return m
}

// slot returns the slot of a key, which is empty where no mutation has the key.
func (d *decided) slot(key []byte) int {
	last := len(d.slots) - 1
	i := int(maphash.Bytes(d.seed, key)) & last
	for d.slots[i] != 0 && !bytes.Equal(d.at(d.slots[i]-1).Key, key) {
		i = (i + 1) & last
	}
	return i
}

func (d *decided) has(key []byte) bool {
	if d.slots[d.slot(key)] != 0 {
		return true
	}
	after := sort.Search(len(d.ranges), func(i int) bool { return bytes.Compare(d.at(d.ranges[i].from).Key, key) > 0 })
	if after == 0 {
		return false
	}
	end := d.at(d.ranges[after-1].to).End
	return len(end) == 0 || bytes.Compare(key, end) < 0
}
