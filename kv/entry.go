package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/walnutkv/walnut/snapshot"
)

// The kinds of snapshot. Their numbers are in files.
const (
	kindPairs   snapshot.Kind = 1 // A state: an entry is a pair.
	kindRecords snapshot.Kind = 2 // A piece of the log: an entry is a record, its key the offset.
	kindReplica snapshot.Kind = 3 // A replica's state: an entry is a pair, and the header's From is the last commit in it.
)

// An entry of a state has the pair's key, and as data the deadline as a signed varint of nanoseconds since 1970, 0 for
// none, followed by the value.

var errDeadline = errors.New("pair has no deadline that can be read")

// entries yields the state's pairs as entries, in order. What is yielded is valid until the next one.
func (s *state) entries() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, data []byte) bool) {
		var data []byte
		ahead := newLookahead(func(p pair) bool {
			data = append(binary.AppendVarint(data[:0], p.deadline()), p.value()...)
			return yield(p.key(), data)
		})
		s.tree.ascend(nil, nil, func(it item) bool { return ahead.take(it.pair) })
		ahead.flush()
	}
}

// acceptedIn returns the last commit that a state on disk has, and whether it is a state.
func acceptedIn(h snapshot.Header) (accepted uint64, ok bool) {
	if h.Kind == kindReplica {
		return h.From, true
	}
	return h.Offset, h.Kind == kindPairs && h.From == 0
}

// decodePair returns the pair of an entry, in its own memory.
func decodePair(e snapshot.Entry) (pair, error) {
	deadline, value, err := splitPair(e)
	if err != nil {
		return pair{}, err
	}
	return newPair(e.Key, value, deadline), nil
}

// splitPair returns what a pair's entry says, or why it is no pair.
func splitPair(e snapshot.Entry) (deadline int64, value []byte, err error) {
	deadline, n := binary.Varint(e.Data)
	if n <= 0 {
		err = errDeadline
	} else {
		err = checkKey(e.Key)
	}
	if err != nil {
		return 0, nil, &CorruptError{Err: fmt.Errorf("an entry with a key of %d bytes and data of %d: %w", len(e.Key), len(e.Data), err)}
	}
	return deadline, e.Data[n:], nil
}

// decoded yields what decode makes of values, up to the first error. (Of a snapshot's file, snapshot.Decode does that in parallel.)
func decoded[From, To any](values iter.Seq2[From, error], decode func(From) (To, error)) iter.Seq2[To, error] {
	return func(yield func(To, error) bool) {
		for value, err := range values {
			var made To
			if err == nil {
				made, err = decode(value)
			}
			if !yield(made, err) || err != nil {
				return
			}
		}
	}
}

// loadState makes a state of the pairs of a snapshot as of an offset. nearEnd is one of its last keys, nil where none is known.
// progress is called with the number of pairs so far, now and then.
func loadState(offset uint64, nearEnd []byte, pairs iter.Seq2[pair, error], progress func(loaded uint64)) (*state, error) {
	const progressEvery = 1 << 14
	s, loaded := newState(), uint64(0)
	s.offset, s.accepted = offset, offset
	var failed error
	s.tree.load(func(yield func(pair) bool) {
		for p, err := range pairs {
			if failed = err; failed != nil {
				return
			}
			if loaded++; loaded%progressEvery == 0 {
				progress(loaded)
			}
			s.count(p, 1)
			if !yield(p) {
				return
			}
		}
	}, nearEnd)
	if failed != nil {
		return nil, failed
	}
	s.tree.tighten()
	return s, nil
}
