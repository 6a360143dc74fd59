package kv

import (
	"bytes"
	"math"
	"slices"
	"sort"
)

// span is the keys with start <= key < end; an empty bound is open.
type span struct{ start, end []byte }

func (s span) has(key []byte) bool { return bytes.Compare(key, s.start) >= 0 && s.precedesEnd(key) }

func (s span) precedesEnd(key []byte) bool { return len(s.end) == 0 || bytes.Compare(key, s.end) < 0 }

// after returns what is left of the span once a scan in that direction has come to a key; nil is none.
func (s span) after(key []byte, reverse bool) span {
	switch {
	case key == nil:
	case reverse:
		s.end = key
	default:
		s.start = append(bytes.Clone(key), 0)
	}
	return s
}

// within returns the keys that both spans have, and whether there can be any.
func (s span) within(other span) (both span, possible bool) {
	if bytes.Compare(other.start, s.start) > 0 {
		s.start = other.start
	}
	if len(s.end) == 0 || len(other.end) > 0 && bytes.Compare(other.end, s.end) < 0 {
		s.end = other.end
	}
	return s, len(s.end) == 0 || bytes.Compare(s.start, s.end) < 0
}

// overlay is what a log says about the keys of a span, for laying over a snapshot from before that log. It takes the log's mutations
// in order. Where they take more memory than it may use, it forgets about the keys that a scan comes to last, and goes on with a part
// of the span: the scan reads the log once more for the rest.
//
// Invariants: pairs has the last mutation of each key in part that was put or deleted after the last range delete over it; lost
// has every range delete in part. So of a key in part the snapshot counts only where pairs hasn't it and no span of lost has it.
type overlay struct {
	part    span // The keys that it knows all about.
	rest    span // The keys that it has forgotten about, if cut.
	cut     bool
	reverse bool // A scan comes to the greatest keys first.
	alone   bool // There is no snapshot, so nothing is kept of what is deleted.

	pairs tree   // Deleted ones have the deadline deleted.
	lost  []span // The first of them, settled in number, are in order and apart from each other.

	settled    int
	size, most int64 // Of pairs in bytes, roughly.
}

const (
	// deleted is the deadline of a pair that is deleted. It has always passed, and so has the next instant, which a put with this deadline gets.
	deleted = math.MinInt64
	// overlayPairSize is what a pair takes besides its key and value, roughly.
	overlayPairSize = 64
)

func newOverlay(part span, reverse, alone bool, most int64) *overlay {
	return &overlay{part: part, reverse: reverse, alone: alone, pairs: newTree(), most: most}
}

// take applies a mutation, whose memory it doesn't keep. One outside of part costs two comparisons.
func (o *overlay) take(m Mutation) {
	switch {
	case m.Kind == MutationDeleteRange:
		o.removeRange(span{m.Key, m.End})
	case !o.part.has(m.Key):
	case m.Kind == MutationPut:
		deadline := unixNano(m.Deadline)
		if deadline == deleted {
			deadline++
		}
		o.put(newPair(m.Key, m.Value, deadline))
	case o.alone:
		if old, found := o.pairs.remove(m.Key); found {
			o.count(old.pair, -1)
		}
	default:
		o.put(newPair(m.Key, nil, deleted))
	}
}

func (o *overlay) put(p pair) {
	if old, found := o.pairs.put(p); found {
		o.count(old.pair, -1)
	}
	o.count(p, 1)
	if o.size > o.most {
		o.forget()
	}
}

func (o *overlay) count(p pair, times int64) { o.size += times * (p.size() + overlayPairSize) }

func (o *overlay) removeRange(s span) {
	s, possible := s.within(o.part)
	if !possible {
		return
	}
	o.drop(s)
	if o.alone {
		return
	}
	start, end := copyBoth(s.start, s.end)
	o.lost = append(o.lost, span{start, end})
	if len(o.lost) >= 2*o.settled+1024 {
		o.settle()
	}
}

// drop removes the pairs of a span.
func (o *overlay) drop(s span) {
	o.pairs.removeRange(s.start, s.end, func(it item) bool {
		o.count(it.pair, -1)
		return true
	})
}

// settle orders lost and joins spans that touch each other.
func (o *overlay) settle() {
	slices.SortFunc(o.lost, func(a, b span) int { return bytes.Compare(a.start, b.start) })
	joined := o.lost[:0]
	for _, s := range o.lost {
		n := len(joined)
		if n == 0 || len(joined[n-1].end) > 0 && bytes.Compare(s.start, joined[n-1].end) > 0 {
			joined = append(joined, s)
			continue
		}
		if last := &joined[n-1]; len(s.end) == 0 || !last.precedesEnd(s.end) {
			last.end = s.end
		}
	}
	clear(o.lost[len(joined):])
	o.lost, o.settled = joined, len(joined)
}

// forget halves what is kept. The pair that a scan comes to first always stays, so each part of a scan has some progress.
func (o *overlay) forget() {
	var last, next []byte // The last key that stays, and the first that goes, as a scan comes to them.
	kept := int64(0)
	o.visit(func(it item) bool {
		if kept > o.most/2 {
			next = it.key()
			return false
		}
		last, kept = it.key(), kept+it.size()+overlayPairSize
		return true
	})
	if next == nil {
		return
	}
	gone, stays := span{next, o.part.end}, span{o.part.start, next}
	if o.reverse {
		gone, stays = span{o.part.start, last}, span{last, o.part.end}
	}
	o.drop(gone)
	if !o.cut {
		o.cut, o.rest = true, o.part
	}
	if o.part = stays; o.reverse {
		o.rest.end = last
	} else {
		o.rest.start = next
	}
}

// precedes reports whether a scan comes to one key before another.
func (o *overlay) precedes(key, other []byte) bool {
	order := bytes.Compare(key, other)
	return order < 0 && !o.reverse || order > 0 && o.reverse
}

// visit calls a function for the items in the order of the scan, until it returns false.
func (o *overlay) visit(call func(it item) bool) {
	if o.reverse {
		o.pairs.descend(nil, nil, call)
		return
	}
	o.pairs.ascend(nil, nil, call)
}

// list returns the pairs, deleted ones included, in the order of the scan.
func (o *overlay) list() []pair {
	list := make([]pair, 0, o.pairs.len())
	o.visit(func(it item) bool {
		list = append(list, it.pair)
		return true
	})
	return list
}

// hasLost reports whether a range delete took what a snapshot has of a key. lost is settled.
func (o *overlay) hasLost(key []byte) bool {
	i := sort.Search(len(o.lost), func(i int) bool { return bytes.Compare(o.lost[i].start, key) > 0 })
	return i > 0 && o.lost[i-1].precedesEnd(key)
}
