package kv

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// MutationKind says what a mutation does.
type MutationKind uint8

// The kinds of mutation. Their numbers are those of kv/kvpb/commit.proto.
const (
	MutationPut         MutationKind = 1
	MutationDelete      MutationKind = 2
	MutationDeleteRange MutationKind = 3
)

// String returns the kind's name: put, delete or delete_range.
func (k MutationKind) String() string {
	names := [...]string{MutationPut: "put", MutationDelete: "delete", MutationDeleteRange: "delete_range"}
	if k == 0 || int(k) >= len(names) {
		return fmt.Sprintf("MutationKind(%d)", uint8(k))
	}
	return names[k]
}

// Mutation is one change that a commit makes. Its bytes are read-only.
type Mutation struct {
	Kind     MutationKind
	Key      []byte    // What is put or deleted; the inclusive start of a range delete, empty for the first key.
	Value    []byte    // The value of a put.
	End      []byte    // The exclusive end of a range delete, empty for past the last key.
	Deadline time.Time // The instant from which the pair of a put is invisible; the zero time is never.

	pair pair // Of a put that newPut made: what the tree keeps, which Key and Value point into.
}

// newPut returns a put with memory of its own.
func newPut(key, value []byte, deadline time.Time) Mutation {
	p := newPair(key, value, unixNano(deadline))
	return Mutation{Kind: MutationPut, Key: p.key(), Value: p.value(), Deadline: deadline, pair: p}
}

// own returns the mutation with its own memory, and without the fields that its kind has no use for.
func (m Mutation) own() Mutation {
	owned := Mutation{Kind: m.Kind}
	switch m.Kind {
	case MutationPut:
		return newPut(m.Key, m.Value, m.Deadline)
	case MutationDelete:
		owned.Key = bytes.Clone(m.Key)
	case MutationDeleteRange:
		owned.Key, owned.End = copyBoth(m.Key, m.End)
	}
	return owned
}

// check returns why the mutation is over a limit, nil where it isn't.
func (m *Mutation) check() error {
	if m.Kind != MutationDeleteRange {
		if err := checkKey(m.Key); err != nil {
			return err
		}
		return checkValue(m.Value)
	}
	for _, bound := range [...][]byte{m.Key, m.End} {
		if len(bound) > 0 {
			if err := checkKey(bound); err != nil {
				return err
			}
		}
	}
	return nil
}

// withoutPairs makes of the mutations what users see: values that are equal where their exported fields are.
func withoutPairs(mutations []Mutation) []Mutation {
	for i := range mutations {
		mutations[i].pair = pair{}
	}
	return mutations
}

// ownedPair returns the pair of a put, for the tree to keep.
func (m *Mutation) ownedPair() pair {
	if m.pair.keySize == 0 {
		return newPair(m.Key, m.Value, unixNano(m.Deadline))
	}
	return m.pair
}

// ready is a mutation that was decoded, and as much of its work done, before it was its turn.
type ready struct {
	Mutation        // With its pair, where it is a put.
	entries  keying // The pair's, in every index, if they were made.
}

func (r *ready) apply(s *state) {
	if r.Kind == MutationPut {
		s.put(r.ownedPair(), &r.entries)
	} else {
		s.mutate(&r.Mutation)
	}
}

// Batch collects mutations for DB.Apply, which makes one commit of them. The zero value is an empty batch. A batch
// copies what it is given. A mutation over a limit is left out, and its error is what Apply returns. A batch may be applied
// more than once, and must not be changed meanwhile; it is not safe for concurrent use.
type Batch struct {
	record []byte // Room for the head of a record, then the mutations as they are in one; empty where there are none.
	count  int
	ranges int    // How many of them are range deletes.
	ready  *ready // The only one; nil where that wasn't done.
	err    error  // The first error, which Apply returns.
}

// Put gives the key the value; a nil value is an empty one.
func (b *Batch) Put(key, value []byte) { b.PutDeadline(key, value, time.Time{}) }

// PutDeadline gives the key the value until an instant, from which on the pair is invisible. A zero deadline is none. A
// deadline that nanoseconds since 1970 can't say in 64 bits (before 1677 or after 2262) becomes the nearest that they can.
func (b *Batch) PutDeadline(key, value []byte, deadline time.Time) {
	b.add(&Mutation{Kind: MutationPut, Key: key, Value: value, Deadline: deadline})
}

// Delete removes the key. That the key is absent is no error.
func (b *Batch) Delete(key []byte) {
	b.add(&Mutation{Kind: MutationDelete, Key: key})
}

// DeleteRange removes every key k with start <= k < end. An empty start is the first key, an empty end is past the last
// one: without both, everything goes. A range without a key in it is no error.
func (b *Batch) DeleteRange(start, end []byte) {
	b.add(&Mutation{Kind: MutationDeleteRange, Key: start, End: end})
}

// Len returns the number of mutations.
func (b *Batch) Len() int { return b.count }

// Reset makes the batch empty, for use again. What was applied before is not touched.
func (b *Batch) Reset() { *b = Batch{record: b.record[:0]} }

// refuse keeps the first error and reports whether there was one.
func (b *Batch) refuse(err error) bool {
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("mutation %d: %w", b.count, err)
	}
	return err != nil
}

// add adds a mutation, unless it is over a limit.
func (b *Batch) add(m *Mutation) {
	if b.refuse(m.check()) {
		return
	}
	if m.Kind == MutationDeleteRange {
		b.ranges++
	}
	if cap(b.record) == 0 {
		b.record = make([]byte, 0, recordHeadRoom+mutationFieldSize(m))
	}
	if len(b.record) == 0 {
		b.record = b.record[:recordHeadRoom]
	}
	b.record = appendMutationField(b.record, m)
	b.count++
}

// append adds the mutations of another batch, which isn't empty.
func (b *Batch) append(other *Batch) {
	b.record = append(b.record, other.record[min(recordHeadRoom, len(b.record)):]...)
	b.count += other.count
	b.ranges += other.ranges
}

// isLong reports whether readers should not wait while the mutations are applied, even if none is a range delete.
func (b *Batch) isLong() bool { return b.count > inPlaceMutations || len(b.record) > inPlaceBytes }

// mutations returns the encoded mutations, for Mutation.next.
func (b *Batch) mutations() []byte { return b.record[min(recordHeadRoom, len(b.record)):] }

// recordAt returns the record of a commit that is made at a time. It is valid until the batch is changed or asked again.
func (b *Batch) recordAt(unixNano int64) []byte {
	var room [recordHeadRoom]byte
	head := appendVarintField(room[:0], fieldCommitTime, uint64(unixNano))
	record := b.record[recordHeadRoom-len(head):]
	copy(record, head)
	return record
}

// copyBoth copies both into one allocation, with their capacities clipped so that an append to one can't reach the other.
func copyBoth(a, b []byte) ([]byte, []byte) {
	both := make([]byte, len(a)+len(b))
	copy(both, a)
	copy(both[len(a):], b)
	return both[:len(a):len(a)], both[len(a):]
}

// unixNano returns a deadline as a record and the tree hold it: nanoseconds since 1970, where 0 is no deadline.
func unixNano(deadline time.Time) int64 {
	switch {
	case deadline.IsZero():
		return 0
	case deadline.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case deadline.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	case deadline.UnixNano() == 0:
		return -1 // The one instant whose number means none; a nanosecond earlier is as long ago.
	}
	return deadline.UnixNano()
}

// deadlineTime is the inverse of unixNano.
func deadlineTime(nano int64) time.Time {
	if nano == 0 {
		return time.Time{}
	}
	return time.Unix(0, nano).UTC()
}
