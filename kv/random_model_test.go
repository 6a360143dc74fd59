package kv

import (
	"bytes"
	"iter"
	"slices"
	"strconv"
	"time"
)

// modelKeyCount is how many keys the random operations know: enough for a tree of two levels whose nodes split and
// merge, and few enough that operations meet.
const modelKeyCount = 200

// modelKeys are these keys in order: zeros and the highest byte at the end, and long ones that begin alike.
var modelKeys = makeModelKeys()

// modelBounds are what ranges start with, end with and have as prefix: every key, then the open bound and some between keys.
var modelBounds = append(modelKeys[:modelKeyCount:modelKeyCount],
	nil, []byte("a\x00\x01"), []byte("b\x01"), []byte("begins"), []byte("begins alike/x"), []byte("zz"), []byte{0xff})

func makeModelKeys() [][]byte {
	suffixes := [][]byte{nil}
	for i := 0; len(suffixes) < 1+3+9+27; i++ {
		for _, last := range []byte{0, 'x', 0xff} {
			suffixes = append(suffixes, append(bytes.Clone(suffixes[i]), last))
		}
	}
	var keys [][]byte
	for _, prefix := range []string{"a", "b", "begins alike/", "c", "d"} {
		for _, suffix := range suffixes {
			keys = append(keys, append([]byte(prefix), suffix...))
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys
}

// modelCell is the value of a key. Both fields are 0 where there is none.
type modelCell struct {
	value    uint32 // The number of the value, which modelValue turns into bytes; 0 is an absent pair.
	deadline uint32 // In ticks of the clock; 0 is none.
}

// visible reports whether there is a pair at an instant, in ticks.
func (c modelCell) visible(now uint32) bool {
	return c.value != 0 && (c.deadline == 0 || c.deadline > now)
}

// modelState is what a store holds after a commit, too simple to be wrong. One that is in the history is never changed.
type modelState struct {
	offset uint64
	cells  [modelKeyCount]modelCell
}

func (s *modelState) clone() *modelState {
	second := *s
	return &second
}

// modelMutation is a mutation in the model's terms.
type modelMutation struct {
	kind            MutationKind
	key, end        int // Into modelKeys; of a range delete, into modelBounds.
	value, deadline uint32
}

func (s *modelState) apply(m modelMutation) {
	switch m.kind {
	case MutationPut:
		s.cells[m.key] = modelCell{m.value, m.deadline}
	case MutationDelete:
		s.cells[m.key] = modelCell{}
	case MutationDeleteRange:
		for key := range s.cells {
			if inBounds(modelKeys[key], modelBounds[m.key], modelBounds[m.end]) {
				s.cells[key] = modelCell{}
			}
		}
	}
}

// addTo adds the mutation to a batch.
func (m modelMutation) addTo(b *Batch) {
	switch m.kind {
	case MutationPut:
		b.PutDeadline(modelKeys[m.key], modelValue(nil, m.value), clockTime(m.deadline))
	case MutationDelete:
		b.Delete(modelKeys[m.key])
	case MutationDeleteRange:
		b.DeleteRange(modelBounds[m.key], modelBounds[m.end])
	}
}

// write makes the mutation in a transaction.
func (m modelMutation) write(tx *Tx) error {
	switch m.kind {
	case MutationPut:
		return tx.PutDeadline(modelKeys[m.key], modelValue(nil, m.value), clockTime(m.deadline))
	case MutationDelete:
		return tx.Delete(modelKeys[m.key])
	}
	return tx.DeleteRange(modelBounds[m.key], modelBounds[m.end])
}

// size returns the bytes that the mutation can't do without.
func (m modelMutation) size() int {
	size := len(modelBounds[m.key])
	switch m.kind {
	case MutationPut:
		size += len(modelValue(nil, m.value))
	case MutationDeleteRange:
		size += len(modelBounds[m.end])
	}
	return size
}

// clockTick is the unit in which the tests' clock moves, clockStart where it begins.
const (
	clockTick  = time.Second
	clockStart = 1_700_000_000
)

// clockTime returns the instant after so many ticks; 0 is the zero time, which is no deadline.
func clockTime(ticks uint32) time.Time {
	if ticks == 0 {
		return time.Time{}
	}
	return time.Unix(clockStart, 0).Add(time.Duration(ticks) * clockTick)
}

// valueShapes is how many shapes values have. The shape is the remainder of a value's number.
const valueShapes = 16

// modelValue appends the bytes of a value: mostly some digits, but also none, and at times so many that a segment of the
// log is full.
func modelValue(to []byte, number uint32) []byte {
	from := len(to)
	shape, serial := number%valueShapes, number/valueShapes
	if shape == valueShapes-3 {
		return to
	}
	to = strconv.AppendUint(to, uint64(serial), 10)
	size := 0
	switch shape {
	case valueShapes - 2:
		size = 150
	case valueShapes - 1:
		size = 1000 + int(serial%5)*1000
	}
	for len(to)-from < size {
		to = append(to, to[from:]...)
	}
	return to
}

func inBounds(key, start, end []byte) bool {
	return bytes.Compare(start, key) <= 0 && (len(end) == 0 || bytes.Compare(key, end) < 0)
}

// matching appends the keys that a scan of a range yields at an instant, in the scan's order.
func (s *modelState) matching(to []int, r Range, now uint32) []int {
	from := len(to)
	for key, cell := range s.cells {
		if cell.visible(now) && inBounds(modelKeys[key], r.Start, r.End) && bytes.HasPrefix(modelKeys[key], r.Prefix) {
			to = append(to, key)
		}
	}
	if r.Reverse {
		slices.Reverse(to[from:])
	}
	if r.Limit > 0 && len(to)-from > r.Limit {
		to = to[:from+r.Limit]
	}
	return to
}

// modelView is a state as of an instant: what a read is compared with.
type modelView struct {
	state *modelState
	now   uint32
}

// agrees reports whether a pair is that of a key.
func (v modelView) agrees(key int, gotKey, gotValue []byte) bool {
	var room [64]byte
	return bytes.Equal(gotKey, modelKeys[key]) && bytes.Equal(gotValue, modelValue(room[:0], v.state.cells[key].value))
}

// disagreement returns what a scan yields first that it must not, as text; empty where it is right.
func (v modelView) disagreement(scan iter.Seq2[[]byte, []byte], r Range) string {
	var room [modelKeyCount]int
	want := v.state.matching(room[:0], r, v.now)
	seen := 0
	for key, value := range scan {
		if seen == len(want) {
			return "one pair too many: " + strconv.Quote(string(key))
		}
		if !v.agrees(want[seen], key, value) {
			return strconv.Quote(string(key)) + "=" + strconv.Quote(string(value)) + ", want " + v.text(want[seen])
		}
		seen++
	}
	if seen < len(want) {
		return "ended before " + v.text(want[seen])
	}
	return ""
}

// text returns a key's pair for a message.
func (v modelView) text(key int) string {
	cell := v.state.cells[key]
	return strconv.Quote(string(modelKeys[key])) + "=" + strconv.Quote(string(modelValue(nil, cell.value)))
}
