package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/walnutkv/walnut/wal"
)

// A replay decodes records ahead of applying them, in chunks, so that two processors share the work.
const (
	replayChunk  = 16 << 10 // Puts and deletes in a chunk at most.
	replayBytes  = 4 << 20  // From so many bytes of keys and values on, a chunk ends.
	replayChunks = 2        // Chunks decoded ahead.
)

// replay applies the commits of sources, one after the other, to a state, up to a target. A start, At and Restore do that.
type replay struct {
	sources []source
	to      target
	last    uint64 // The last commit there is, or 0; for progress.
	plain   bool   // Entries of a replica are refused.
	report  func(Progress)
}

// replayed is what a replay has made.
type replayed struct {
	state *state
	moment
	bytes int64 // Of the records.
}

// target is the commit at which a replay ends. The zero value is the last one.
type target struct {
	offset uint64    // Unless it is 0.
	time   time.Time // The last commit made at that time or before, unless it is zero.
}

// later reports whether a commit was made after the target's time. One before the target may be later, if a clock was wrong.
func (t target) later(made int64) bool { return !t.time.IsZero() && time.Unix(0, made).After(t.time) }

// check refuses an end that isn't the target. more says that later commits follow it.
func (t target) check(end moment, more bool) error {
	switch made := time.Unix(0, end.time); {
	case t.offset != 0 && end.offset > t.offset, t.later(end.time):
		return fmt.Errorf("%w: the target %v is before the backup, which is as of %d, made at %s", ErrTruncated, t, end.offset, timeText(made))
	case t.offset > end.offset, !more && made.Before(t.time):
		return fmt.Errorf("%w: the target %v is after the last commit there is, %d, made at %s", ErrOutOfRange, t, end.offset, timeText(made))
	}
	return nil
}

// timeText returns a time as messages show it, to the nanosecond, so that it can be given as a target.
func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (t target) String() string {
	if t.offset == 0 {
		return timeText(t.time)
	}
	return strconv.FormatUint(t.offset, 10)
}

// run applies what comes after a state, whose last commit was made at that time, for as long as ctx lasts.
func (r replay) run(ctx context.Context, s *state, made int64) (replayed, error) {
	done, loaded := replayed{state: s, moment: moment{s.offset, made, s.accepted}}, uint64(s.tree.len())
	ctx, cancel := context.WithCancel(ctx)
	d := decoder{
		ctx: ctx, to: r.to, plain: r.plain, at: done.moment, chunks: make(chan chunk, replayChunks), free: make(chan []pair, replayChunks+2),
	}
	go d.decode(r.sources)
	defer func() {
		cancel()
		for range d.chunks { // No source is read once this returns.
		}
	}()
	var before *replayed // What was there before the first of the commits at the end that were made after the target's time.
	for c := range d.chunks {
		if !c.later {
			before = nil
		} else if before == nil {
			before = &replayed{state: s.clone(), moment: done.moment}
		}
		c.apply(s)
		if c.offset != 0 {
			s.accepted, s.made = c.accepted, c.time
			done.moment = c.moment
		}
		done.bytes += c.bytes
		d.recycle(c.pairs)
		if c.err != nil {
			return done, c.err
		}
		r.report(Progress{Pairs: loaded, Loaded: loaded, Offset: s.offset, Last: max(r.last, s.offset)})
	}
	if ctx.Err() != nil {
		return done, context.Cause(ctx)
	}
	if before != nil {
		before.bytes, done = done.bytes, *before
	}
	return done, r.to.check(done.moment, before != nil)
}

// chunk is some commits on their way into a state, and perhaps a part of the next one.
type chunk struct {
	pairs  []pair // Of puts, and tombstones of deletes, arranged. Those of a key are in order.
	remove *span  // A range delete, which comes after them; nil for none.
	moment        // After the last whole record; zero where there is none.
	bytes  int64  // Of the records.
	later  bool   // Whether the commits, which then all are, were made after the target's time.
	err    error  // Why there are no more, after these.
}

// apply applies the chunk to a state. What it points to belongs to that.
func (c *chunk) apply(s *state) {
	ahead := newLookahead(func(p pair) bool {
		if p.isTombstone() {
			s.remove(p.key())
		} else {
			s.put(p, nil)
		}
		return true
	})
	for _, p := range c.pairs {
		ahead.take(p)
	}
	ahead.flush()
	if c.remove != nil {
		s.removeRange(c.remove.start, c.remove.end, nil)
	}
	s.offset = max(c.offset, s.offset)
}

// decoder decodes records in its own goroutine, ahead of the one that applies them.
type decoder struct {
	ctx    context.Context // Ends when no more is wanted.
	to     target
	plain  bool
	at     moment       // After the last record that was read.
	next   chunk        // All but its pairs,
	pairs  []pair       // which are these, in their order.
	size   int64        // Of their keys and values.
	places []indexPlace // Memory for arranging them, and
	parts  []indexPlace // more.
	chunks chan chunk
	free   chan []pair // Memory of chunks that were applied. As garbage it would be as much as what a long log leaves live.
}

// decode sends chunks until there is nothing more, or no more is wanted.
func (d *decoder) decode(sources []source) {
	defer close(d.chunks)
	for _, from := range sources {
		if !from.whole && d.reached() {
			break
		}
		if err := d.read(from); err != nil {
			if from.name != "" {
				err = fmt.Errorf("%s: %w", from.name, err)
			}
			d.next.err = err
			break
		}
	}
	_ = d.send()
}

// reached reports whether nothing after the last commit that was read is wanted. Commits after one that was made after the
// target's time may have been made before it.
func (d *decoder) reached() bool { return d.to.offset != 0 && d.at.offset >= d.to.offset }

func (d *decoder) read(from source) error {
	records, err := from.records(d.at)
	if err != nil {
		return err
	}
	for record, err := range records {
		if errors.Is(err, ErrTruncated) && d.next.later { // What comes after a gap was made later still.
			return nil
		}
		if err == nil {
			err = d.add(record, from)
		}
		if err != nil || !from.whole && d.reached() {
			return err
		}
	}
	return nil
}

// add decodes one record, unless it has been read before or comes after the target.
func (d *decoder) add(record wal.Record, from source) error {
	e, err := readEntry(record.Payload)
	switch {
	case err != nil:
		return undecodable(from.path(record.Offset), record.Offset, err)
	case e.decided && d.plain:
		return fmt.Errorf("%w: record %d is one of a replica's, but the file %s is missing", ErrReplica, record.Offset, replicaName)
	case record.Offset == d.at.offset && d.at.differs(e.made):
		return otherHistory(d.at, e.made)
	case record.Offset <= d.at.offset:
		return nil
	case record.Offset != d.at.offset+1:
		err := fmt.Errorf("commit %d follows commit %d", record.Offset, d.at.offset)
		return &CorruptError{Path: from.path(record.Offset), Offset: record.Offset, Err: err}
	}
	wanted, accepted := !d.reached(), false
	if d.at, accepted = d.at.after(record.Offset, &e); !wanted {
		return nil
	}
	d.next.bytes += int64(len(record.Payload))
	if !accepted {
		d.next.moment = d.at
		return nil
	}
	if later := d.to.later(e.made); later != d.next.later {
		if err := d.send(); err != nil {
			return err
		}
		d.next.later = later
	}
	ended, err := d.mutate(&e)
	switch {
	case ended != nil:
		return ended
	case err != nil:
		return undecodable(from.path(record.Offset), record.Offset, err)
	}
	d.next.moment = d.at
	return nil
}

// mutate decodes a commit's mutations. A commit may have millions of a few bytes each, which would take many times as much memory as the
// commit, so it is spread over as many chunks as it needs. If it can't be decoded to its end, the replay fails, and nobody sees its
// beginning. ended is why no more is wanted.
func (d *decoder) mutate(e *entry) (ended, err error) {
	_, err = visitRecord(e.mutations, func(m Mutation) {
		if ended == nil {
			ended = d.take(&m)
		}
	})
	return ended, err
}

// take adds a mutation to the next chunk, after that was sent if it is full. A range delete ends its chunk.
func (d *decoder) take(m *Mutation) error {
	if d.next.remove != nil || len(d.pairs) >= replayChunk || d.size >= replayBytes {
		if err := d.send(); err != nil {
			return err
		}
	}
	switch m.Kind {
	case MutationPut:
		d.pairs = append(d.pairs, newPair(m.Key, m.Value, unixNano(m.Deadline)))
	case MutationDelete:
		d.pairs = append(d.pairs, newTombstone(m.Key))
	case MutationDeleteRange:
		start, end := copyBoth(m.Key, m.End)
		d.next.remove = &span{start, end}
	}
	d.size += int64(len(m.Key) + len(m.Value))
	return nil
}

// send hands the chunk on and begins the next one.
func (d *decoder) send() error {
	d.next.pairs = d.arranged()
	select {
	case d.chunks <- d.next:
	case <-d.ctx.Done():
		return context.Cause(d.ctx)
	}
	d.next, d.pairs, d.size = chunk{later: d.next.later}, d.pairs[:0], 0
	return nil
}

// arrangeLeast is from how many pairs on a chunk is arranged: fewer are applied before that would be done.
const arrangeLeast = 256

// arranged returns the chunk's pairs by parts of the range of their keys, in memory of their own. So those follow one another that lie near
// in the tree, whose nodes then are in the processor's caches. Pairs of the same key stay in order.
func (d *decoder) arranged() (pairs []pair) {
	select {
	case pairs = <-d.free:
	default:
	}
	pairs = slices.Grow(pairs, len(d.pairs))
	if len(d.pairs) < arrangeLeast {
		return append(pairs, d.pairs...)
	}
	shared := d.pairs[0].key()
	for _, p := range d.pairs {
		shared = shared[:sharedSize(shared, p.key())]
	}
	d.places = d.places[:0]
	for i, p := range d.pairs {
		d.places = append(d.places, indexPlace{keyOrder(p.key(), shared), uint64(i)})
	}
	d.parts, _ = divided(d.places, d.parts)
	for _, p := range d.parts {
		pairs = append(pairs, d.pairs[p.place])
	}
	return pairs
}

// recycle gives memory of a chunk back, without what it points to.
func (d *decoder) recycle(pairs []pair) {
	clear(pairs)
	select {
	case d.free <- pairs[:0]:
	default:
	}
}
