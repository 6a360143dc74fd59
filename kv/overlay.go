package kv

import (
	"bytes"
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
// Mutations are gathered as they come, and sorted now and then. That takes less time than a tree, which would be right after each.
//
// Invariants: pairs has the last mutation of each key in part that was put or deleted after the last range delete over it, those in
// later and removed counted in; lost has every range delete in part, likewise. So of a key in part the snapshot counts only where
// pairs hasn't it and no span of lost has it.
type overlay struct {
	part    span // The keys that it knows all about.
	rest    span // The keys that it has forgotten about, if cut.
	cut     bool
	reverse bool // A scan comes to the greatest keys first.
	alone   bool // There is no snapshot, so nothing is kept of what is deleted.

	pairs []pair // In order, each key once; once finished, in the order of the scan. Deleted ones are tombstones.
	lost  []span // In order, and apart from each other.

	later   []pair    // What came after them, in that order.
	removed []removal // The range deletes among them.
	common  []byte    // What all keys begin with.

	size  int64 // In bytes, roughly.
	limit int64 // The size at which they are sorted.
	most  int64 // What the overlay may take.
}

const (
	// overlayPairSize is what a pair takes besides its key and value, roughly.
	overlayPairSize = 64
	// overlayLater is how many bytes may come before they are sorted, and overlayGrowth to how many times what stays then that may grow.
	overlayLater, overlayGrowth = 8 << 20, 3
)

func newOverlay(part span, reverse, alone bool, most int64) *overlay {
	return &overlay{part: part, reverse: reverse, alone: alone, most: most, limit: min(most, overlayLater)}
}

// take applies a mutation, whose memory it doesn't keep. One outside of part costs two comparisons.
func (o *overlay) take(m Mutation) {
	switch {
	case m.Kind == MutationDeleteRange:
		o.removeRange(span{m.Key, m.End})
	case !o.part.has(m.Key):
	case m.Kind == MutationPut:
		o.add(newPair(m.Key, m.Value, unixNano(m.Deadline)))
	default:
		o.add(newTombstone(m.Key))
	}
}

func (o *overlay) add(p pair) {
	if o.common == nil {
		o.common = p.key()
	}
	o.common = o.common[:sharedSize(o.common, p.key())]
	o.later = append(o.later, p)
	o.grow(p.size())
}

func (o *overlay) removeRange(s span) {
	s, possible := s.within(o.part)
	if !possible {
		return
	}
	start, end := copyBoth(s.start, s.end)
	o.removed = append(o.removed, removal{span{start, end}, uint64(len(o.pairs) + len(o.later))})
	o.grow(int64(len(start) + len(end)))
}

// grow counts what came, and makes room where it is too much.
func (o *overlay) grow(bytes int64) {
	if o.size += bytes + overlayPairSize; o.size <= o.limit {
		return
	}
	o.settle()
	if o.size > o.most/2 {
		o.forget()
	}
	o.limit = max(2*o.size, min(o.most, max(overlayLater, overlayGrowth*o.size)))
}

// finish puts the pairs in the order of the scan. No mutation follows.
func (o *overlay) finish() {
	if o.settle(); o.reverse {
		slices.Reverse(o.pairs)
	}
}

// settle puts what came later where it belongs.
func (o *overlay) settle() {
	if len(o.later)+len(o.removed) == 0 {
		return
	}
	all := slices.Concat(o.pairs, o.later)
	places := make([]indexPlace, len(all))
	for i, p := range all {
		places[i] = indexPlace{keyOrder(p.key(), o.common), uint64(i)}
	}
	places = sortPlaces(places, func(a, b indexPlace) int {
		if a.order == b.order {
			if order := bytes.Compare(all[a.place].key(), all[b.place].key()); order != 0 {
				return order
			}
		}
		return a.compare(b)
	})
	o.pairs, o.size = make([]pair, 0, len(all)), 0
	gone := newRemovals(o.removed)
	for i, at := range places {
		p := all[at.place]
		switch more := places[i+1:]; {
		case len(more) > 0 && at.order == more[0].order && bytes.Equal(p.key(), all[more[0].place].key()):
		case o.alone && p.isTombstone() || gone.has(p.key(), at.place):
		default:
			o.pairs = append(o.pairs, p)
			o.size += p.size() + overlayPairSize
		}
	}
	if !o.alone {
		for _, r := range o.removed {
			o.lost = append(o.lost, r.span)
		}
		o.lost = joined(o.lost)
	}
	for _, s := range o.lost {
		o.size += int64(len(s.start)+len(s.end)) + overlayPairSize
	}
	o.later, o.removed = nil, nil
}

// joined orders spans and joins those that touch each other.
func joined(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(a.start, b.start) })
	joined := spans[:0]
	for _, s := range spans {
		n := len(joined)
		if n == 0 || len(joined[n-1].end) > 0 && bytes.Compare(s.start, joined[n-1].end) > 0 {
			joined = append(joined, s)
			continue
		}
		if last := &joined[n-1]; len(s.end) == 0 || !last.precedesEnd(s.end) {
			last.end = s.end
		}
	}
	clear(spans[len(joined):])
	return joined
}

// forget halves the pairs that are kept, which are settled. The one that a scan comes to first always stays, so each part of a scan has some
// progress.
func (o *overlay) forget() {
	stay, kept := 0, int64(0)
	for ; stay < len(o.pairs) && kept <= o.most/2; stay++ {
		kept += o.scanned(stay).size() + overlayPairSize
	}
	if stay == len(o.pairs) {
		return
	}
	for i := stay; i < len(o.pairs); i++ {
		o.size -= o.scanned(i).size() + overlayPairSize
	}
	if !o.cut {
		o.cut, o.rest = true, o.part
	}
	if o.reverse {
		o.pairs = slices.Clone(o.pairs[len(o.pairs)-stay:])
		o.part.start, o.rest.end = o.pairs[0].key(), o.pairs[0].key()
	} else {
		next := o.pairs[stay].key()
		o.pairs = slices.Clone(o.pairs[:stay])
		o.part.end, o.rest.start = next, next
	}
}

// scanned returns the pair that a scan comes to after a number of others.
func (o *overlay) scanned(after int) pair {
	if o.reverse {
		return o.pairs[len(o.pairs)-1-after]
	}
	return o.pairs[after]
}

// precedes reports whether a scan comes to one key before another.
func (o *overlay) precedes(key, other []byte) bool {
	order := bytes.Compare(key, other)
	return order < 0 && !o.reverse || order > 0 && o.reverse
}

// hasLost reports whether a range delete took what a snapshot has of a key.
func (o *overlay) hasLost(key []byte) bool {
	i := sort.Search(len(o.lost), func(i int) bool { return bytes.Compare(o.lost[i].start, key) > 0 })
	return i > 0 && o.lost[i-1].precedesEnd(key)
}
