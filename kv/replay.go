package kv

import (
	"context"
	"errors"
	"iter"

	"github.com/walnutkv/walnut/wal"
)

// A replay decodes records ahead of applying them, in chunks, so that two processors share the work.
const (
	replayChunk  = 256 // Mutations in a chunk, or a few more.
	replayChunks = 8   // Chunks decoded ahead.
)

// decoded is a chunk of commits on its way into a state.
type decoded struct {
	mutations []Mutation
	offset    uint64 // Of the last commit.
	time      int64  // Of the last commit, in nanoseconds since 1970.
	bytes     int64  // Of their records.
	err       error  // Why there are no more, after these.
}

// replayed is what a replay has done.
type replayed struct {
	time  int64 // Of the last commit that was replayed, in nanoseconds since 1970.
	bytes int64 // Of the records.
}

// recordSource is where a replay has its records from.
type recordSource struct {
	last    uint64
	records func(from uint64) iter.Seq2[wal.Record, error]
	refuse  func(offset uint64, err error) error // Says that a record doesn't decode.
}

func newRecordSource(dir string, log *wal.Log) recordSource {
	return recordSource{
		last:    log.Last(),
		records: log.Records,
		refuse:  func(offset uint64, err error) error { return refusal(dir, log.Segments(), offset, err) },
	}
}

// replay applies commits to a state, from the one behind the state's offset up to the one at most, as long as ctx lasts.
func replay(ctx context.Context, source recordSource, s *state, most uint64, told func(Progress)) (r replayed, err error) {
	ahead := conveyor{chunks: make(chan decoded, replayChunks), free: make(chan []Mutation, replayChunks), stop: make(chan struct{})}
	defer close(ahead.stop)
	go source.decode(s.offset+1, most, ahead)
	loaded := uint64(s.tree.len())
	for c := range ahead.chunks {
		if c.offset != 0 {
			s.apply(c.offset, c.mutations)
			r.time = c.time
		}
		ahead.recycle(c.mutations)
		r.bytes += c.bytes
		if err := errors.Join(c.err, ctx.Err()); err != nil {
			return r, err
		}
		told(Progress{Pairs: loaded, Loaded: loaded, Offset: s.offset, Last: max(min(source.last, most), s.offset)})
	}
	return r, nil
}

// conveyor joins the one who decodes, and is ahead, to the one who applies.
type conveyor struct {
	chunks chan decoded
	free   chan []Mutation // Memory of chunks that were applied. As garbage it would be as much as what a long log leaves live.
	stop   chan struct{}   // Closed when nobody wants more.
}

// recycle gives memory of a chunk back, without what it points to. That of a large commit is not for keeping.
func (c conveyor) recycle(mutations []Mutation) {
	if cap(mutations) > 4*replayChunk {
		return
	}
	clear(mutations)
	select {
	case c.free <- mutations[:0]:
	default:
	}
}

// memory returns memory for a chunk.
func (c conveyor) memory() []Mutation {
	select {
	case used := <-c.free:
		return used
	default:
		return make([]Mutation, 0, replayChunk)
	}
}

// decode sends chunks until there is nothing more, or nobody wants more.
func (r recordSource) decode(from, most uint64, ahead conveyor) {
	defer close(ahead.chunks)
	c := decoded{mutations: ahead.memory()}
	send := func() bool {
		select {
		case ahead.chunks <- c:
			c = decoded{mutations: ahead.memory()}
			return true
		case <-ahead.stop:
			return false
		}
	}
	if from > most {
		return
	}
	for record, err := range r.records(from) {
		if c.err = err; err == nil && record.Offset <= most {
			c.add(record, r.refuse)
		}
		if c.err != nil || record.Offset >= most {
			break
		}
		if len(c.mutations) >= replayChunk && !send() {
			return
		}
	}
	send()
}

// add decodes one record.
func (c *decoded) add(record wal.Record, refuse func(uint64, error) error) {
	at, mutations, err := decodeRecord(record.Payload, c.mutations)
	if err != nil {
		c.err = refuse(record.Offset, err)
		return
	}
	c.mutations, c.offset, c.time = mutations, record.Offset, at
	c.bytes += int64(len(record.Payload))
}
