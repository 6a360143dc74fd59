package kv

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
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

// each calls a function for every index key of a pair. The error is ErrIndex, and says of which index and pair.
func (x *Index) each(key, value []byte, take func(indexKey []byte)) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errIndexPanic, cause)
		}
		if err != nil {
			err = fmt.Errorf("%w: index %q, key %.64q: %w", ErrIndex, x.Name, key, err)
		}
	}()
	keys := x.Keys(key, value)
	if keys == nil {
		return nil
	}
	for indexKey := range keys {
		if len(indexKey) > MaxKeySize {
			return fmt.Errorf("%w: index key of %d bytes, limit %d", ErrKeyTooLarge, len(indexKey), MaxKeySize)
		}
		take(indexKey)
	}
	return nil
}

// entries returns the entries of a pair in their order, each once.
func (x *Index) entries(p pair) (made []indexEntry, err error) {
	if p.keySize == 0 {
		return nil, nil
	}
	err = x.each(p.key(), p.value(), func(indexKey []byte) {
		if !p.holds(indexKey) {
			indexKey = bytes.Clone(indexKey)
		}
		made = append(made, newIndexEntry(indexKey, p))
	})
	if err != nil {
		return nil, err
	}
	if len(made) > 1 {
		slices.SortFunc(made, indexEntry.compare)
		made = slices.CompactFunc(made, func(a, b indexEntry) bool { return a.compare(b) == 0 })
	}
	return made, nil
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
		if err := list[i].each(slices.Clip(m.Key), slices.Clip(value), func([]byte) {}); err != nil {
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
