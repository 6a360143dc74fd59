package kv

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
)

// Index is a secondary index: it orders pairs by keys that a function makes of each pair, for ScanIndex.
type Index struct {
	// Name is what ScanIndex asks for. It isn't empty, and no other index of the store has it.
	Name string
	// Keys yields the index keys of a pair, in any order: none, one or many, each of at most MaxKeySize bytes. A nil sequence
	// yields none, an index key may be empty, and one that comes twice counts once. The store copies them, unless they are
	// parts of the pair.
	//
	// The function must be pure: it makes the same keys of the same pair every time. It is called several times for a pair, by
	// many goroutines at a time, and while commits wait. So it should be fast, and must not use the store, nor change or keep
	// what it is given. If it panics for a put, or yields a key that is too large, that commit is refused with ErrIndex. It must
	// not end its goroutine with runtime.Goexit, as FailNow of a test does: in the middle of a commit that can't be made up for.
	Keys func(key, value []byte) iter.Seq[[]byte]
}

// checkIndexes refuses what can't be a store's indexes.
func checkIndexes(list []Index) error {
	for i, x := range list {
		sameName := func(other Index) bool { return other.Name == x.Name }
		switch {
		case x.Name == "":
			return fmt.Errorf("kv: option Indexes: index %d has no name", i)
		case x.Keys == nil:
			return fmt.Errorf("kv: option Indexes: index %q has no function", x.Name)
		case slices.ContainsFunc(list[:i], sameName):
			return fmt.Errorf("kv: option Indexes: there are two with the name %q", x.Name)
		}
	}
	return nil
}

var errIndexPanic = errors.New("the function panicked")

// keying is entries of pairs: of each pair those of one index after the other, in their order and each once. Its memory is used again.
type keying struct {
	entries []indexEntry
	ends    []int // Where the entries of each index end, where all of one pair were made.
	pair    pair  // The pair that they are made for. For the zero pair there are none: a call only shows whether it fails.
}

var keyings = sync.Pool{New: func() any { return new(keying) }}

// keyingMax is how many entries a keying has that is worth keeping.
const keyingMax = 64

// recycle gives the keying back.
func (k *keying) recycle() {
	if cap(k.entries) <= keyingMax {
		k.reset()
		keyings.Put(k)
	}
}

func (k *keying) reset() {
	clear(k.entries)
	*k = keying{entries: k.entries[:0], ends: k.ends[:0]}
}

// of returns the entries of the index with a number, if they were made.
func (k *keying) of(i int) (entries []indexEntry, made bool) {
	if k == nil || i >= len(k.ends) {
		return nil, false
	}
	from := 0
	if i > 0 {
		from = k.ends[i-1]
	}
	return k.entries[from:k.ends[i]], true
}

// add calls an index's function for a pair, whose entries it adds and returns. It returns ErrIndex, and adds none, where that fails.
func (k *keying) add(x *Index, key, value []byte, p pair) (added []indexEntry, err error) {
	before, returned := len(k.entries), false
	defer func() {
		if !returned {
			k.entries = k.entries[:before]
			if cause := recover(); cause != nil {
				added, err = nil, x.failed(key, panicked(cause))
			}
		}
	}()
	k.pair = p
	err = k.run(x, key, value)
	returned = true
	if err != nil {
		k.entries = k.entries[:before]
		return nil, x.failed(key, err)
	}
	return k.sorted(before), nil
}

// run calls an index's function, with whose panics its caller deals, and adds the entries as they come.
func (k *keying) run(x *Index, key, value []byte) (err error) {
	keys := x.Keys(key, value)
	if keys == nil {
		return nil
	}
	for indexKey := range keys {
		if err = k.take(indexKey); err != nil {
			break
		}
	}
	return err
}

// take takes an index key.
func (k *keying) take(indexKey []byte) error {
	if len(indexKey) > MaxKeySize {
		return fmt.Errorf("%w: index key of %d bytes, limit %d", ErrKeyTooLarge, len(indexKey), MaxKeySize)
	}
	if k.pair.keySize != 0 {
		if len(indexKey) > orderSize && !k.pair.holds(indexKey) {
			indexKey = bytes.Clone(indexKey)
		}
		k.entries = append(k.entries, newIndexEntry(indexKey, k.pair))
	}
	return nil
}

// sorted brings the entries from one on, which are one pair's in one index, in their order, and returns them.
func (k *keying) sorted(from int) []indexEntry {
	made := k.entries[from:]
	if len(made) > 1 {
		slices.SortFunc(made, indexEntry.compare)
		made = slices.CompactFunc(made, func(a, b indexEntry) bool { return a.compare(b) == 0 })
		k.entries = k.entries[:from+len(made)]
	}
	return made
}

func panicked(cause any) error { return fmt.Errorf("%w: %v", errIndexPanic, cause) }

// failed says of which index and pair something failed.
func (x *Index) failed(key []byte, cause error) error {
	return fmt.Errorf("%w: index %q, key %.64q: %w", ErrIndex, x.Name, key, cause)
}

// check returns what the function fails with for a pair, nil where it doesn't.
func (x *Index) check(key, value []byte) error {
	k := keyings.Get().(*keying)
	defer k.recycle()
	_, err := k.add(x, key, value, pair{})
	return err
}

// checkIndexed reports whether every index can take the pair of a put. Any other mutation can be made.
func (m *Mutation) checkIndexed(list []Index) error {
	if m.Kind != MutationPut {
		return nil
	}
	value := m.Value
	if value == nil {
		value = []byte{} // As the pair will have it.
	}
	for i := range list {
		// Clipped, since what the function appends to them must not reach the batch.
		if err := list[i].check(slices.Clip(m.Key), slices.Clip(value)); err != nil {
			return err
		}
	}
	return nil
}

// makeEntries makes the entries of a pair in every index, for a commit that will put it. It returns ErrIndex where an index can't
// take the pair.
func (k *keying) makeEntries(list []Index, p pair) error {
	for i := range list {
		if _, err := k.add(&list[i], p.key(), p.value(), p); err != nil {
			return err
		}
		k.ends = append(k.ends, len(k.entries))
	}
	return nil
}

// indexable returns the batch, or one that is refused in its place where an index can't take one of its puts. The functions
// are called here, before anything is locked: once the log has a commit, it can't fail any more.
func indexable(list []Index, b *Batch) *Batch {
	if b.err != nil {
		return b
	}
	if b.ready != nil && b.ready.pair.keySize != 0 {
		if err := b.ready.entries.makeEntries(list, b.ready.pair); err != nil {
			return &Batch{err: fmt.Errorf("mutation 0: %w", err)}
		}
		return b
	}
	rest := b.mutations()
	for i := 0; len(rest) > 0; i++ {
		var m Mutation
		rest = m.next(rest)
		if err := m.checkIndexed(list); err != nil {
			return &Batch{err: fmt.Errorf("mutation %d: %w", i, err)}
		}
	}
	return b
}
