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
	// what it is given. If it panics for a put, or yields a key that is too large, that commit is refused with ErrIndex.
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

// keying is the entries of a pair in an index, in their order and each once, or why there are none. Its memory is used again.
type keying struct {
	entries []indexEntry
	err     error // ErrIndex, which says of which index and pair.
}

var keyings = sync.Pool{New: func() any { return new(keying) }}

// keyingMax is how many entries a keying has that is worth keeping.
const keyingMax = 64

// recycle gives the keying back.
func (k *keying) recycle() {
	if cap(k.entries) <= keyingMax {
		clear(k.entries)
		*k = keying{entries: k.entries[:0]}
		keyings.Put(k)
	}
}

// keying calls the index's function. Of the zero pair there are no entries: the call only shows whether it fails.
func (x *Index) keying(key, value []byte, p pair) *keying {
	k := keyings.Get().(*keying)
	k.run(x, key, value, p)
	if len(k.entries) > 1 {
		slices.SortFunc(k.entries, indexEntry.compare)
		k.entries = slices.CompactFunc(k.entries, func(a, b indexEntry) bool { return a.compare(b) == 0 })
	}
	return k
}

func (k *keying) run(x *Index, key, value []byte, p pair) {
	defer k.end(x, key)
	keys := x.Keys(key, value)
	if keys == nil {
		return
	}
	for indexKey := range keys {
		if !k.take(indexKey, p) {
			break
		}
	}
}

// take takes an index key, and reports whether there may be more.
func (k *keying) take(indexKey []byte, p pair) bool {
	if len(indexKey) > MaxKeySize {
		k.err = fmt.Errorf("%w: index key of %d bytes, limit %d", ErrKeyTooLarge, len(indexKey), MaxKeySize)
		return false
	}
	if p.keySize != 0 {
		if !p.holds(indexKey) {
			indexKey = bytes.Clone(indexKey)
		}
		k.entries = append(k.entries, newIndexEntry(indexKey, p))
	}
	return true
}

// end is deferred, so that it sees what the function panicked with.
func (k *keying) end(x *Index, key []byte) {
	if cause := recover(); cause != nil {
		k.err = fmt.Errorf("%w: %v", errIndexPanic, cause)
	}
	if k.err != nil {
		k.entries = k.entries[:0]
		k.err = fmt.Errorf("%w: index %q, key %.64q: %w", ErrIndex, x.Name, key, k.err)
	}
}

// check returns what the function fails with for a pair, nil where it doesn't.
func (x *Index) check(key, value []byte) error {
	k := x.keying(key, value, pair{})
	defer k.recycle()
	return k.err
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

// indexable returns the batch, or one that is refused in its place where an index can't take one of its puts. The functions
// are called here, before anything is locked: once the log has a commit, it can't fail any more.
func indexable(list []Index, b *Batch) *Batch {
	if b.err != nil {
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
