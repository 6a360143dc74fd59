package kv

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// feed is the store's stream of new commits, there while something watches. One goroutine follows the log and decodes each commit
// once for all watchers. So a commit wakes one goroutine, however many watch it, and costs a store that nothing watches nothing.
type feed struct {
	mu       sync.Mutex
	watchers int
	stream   *stream            // nil while nothing watches.
	stop     context.CancelFunc // Ends the stream's goroutine.
}

// join returns the stream that has the commits from now on. The caller leaves it.
func (f *feed) join(db *DB) *stream {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers++; f.stream != nil {
		if f.stream.shown.Load().err == nil {
			return f.stream
		}
		f.stop() // Those that watch it have yet to see that it ended.
	}
	ctx, stop := context.WithCancel(db.checkpoints.ctx)
	f.stream, f.stop = newStream(db.Offset()+1), stop
	go f.stream.run(ctx, db)
	return f.stream
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers--; f.watchers == 0 {
		f.stop()
		f.stream = nil
	}
}

func (f *feed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watchers
}

const (
	// streamKept and streamBytes are how many commits a stream keeps, and how many encoded bytes, at the most.
	streamKept  = 512
	streamBytes = 1 << 20
	// streamAhead is how many commits a stream takes in before watchers see them, where the log always has more.
	streamAhead = 64
	// streamRest is for how long, for each watcher, a stream rests after it woke them: what comes meanwhile costs one more wake-up. A
	// thousand watchers take about a millisecond of a processor for each, and writers wait for their turn after them.
	streamRest = 10 * time.Microsecond
)

// stream is the last commits, for those watchers that keep up. Others read the log. One goroutine changes it.
type stream struct {
	shown atomic.Pointer[shown]
	taken shown // What will be shown next.
}

// shown is what watchers see of a stream. It is never changed.
//
// Invariant: commits are the ones before next, without a gap, and visible.
type shown struct {
	commits []Commit
	bytes   int           // Of the commits, encoded.
	next    uint64        // The offset of the next one.
	more    chan struct{} // Closed when more is shown.
	err     error         // Why there won't be more.
}

// newStream returns a stream that begins with a commit.
func newStream(next uint64) *stream {
	s := &stream{taken: shown{next: next}}
	s.show()
	return s
}

// show lets watchers see what was taken in, and wakes those that wait.
func (s *stream) show() {
	now := s.taken
	now.commits, now.more = slices.Clip(now.commits), make(chan struct{})
	if before := s.shown.Swap(&now); before != nil {
		close(before.more)
	}
}

// run follows the log until ctx is done, or the log ends.
func (s *stream) run(ctx context.Context, db *DB) {
	for {
		err := s.follow(ctx, db)
		if errors.Is(err, ErrTruncated) {
			// It was too slow for a checkpoint, so watchers read the log or an archive. A follower may have to go on from a snapshot first.
			if err = db.visible.await(ctx, db.log.First()-1); err == nil {
				s.taken = shown{next: db.Offset() + 1}
				s.show()
				continue
			}
		} else if db.follow != nil && db.log.Stats().Failed != nil {
			err = db.visible.await(ctx, math.MaxUint64) // What has ended the log's part ends the store's.
		}
		if ctx.Err() != nil {
			err = ErrClosed // Otherwise nothing watches any more.
		}
		s.taken.err = orClosed(err)
		s.show()
		return
	}
}

// follow takes in the log's commits.
func (s *stream) follow(ctx context.Context, db *DB) error {
	ahead := 0
	for commit, err := range db.newCommits(ctx, s.taken.next) {
		if err != nil {
			return err
		}
		// The log has it already; in the relaxed modes and in a follower it is visible a moment later.
		if err := db.visible.await(ctx, commit.Offset); err != nil {
			return err
		}
		s.taken.add(commit)
		if ahead++; ahead < streamAhead && commit.Offset < db.lastCommit() {
			continue
		}
		ahead = 0
		s.show()
		time.Sleep(time.Duration(db.feed.count()-1) * streamRest)
	}
	return nil
}

// add takes a commit in, and drops the oldest where there are too many. A large one is not kept at all.
func (s *shown) add(c Commit) {
	s.commits = append(s.commits, c)
	s.bytes += c.Size
	s.next = c.Offset + 1
	for len(s.commits) > streamKept || s.bytes > streamBytes {
		s.bytes -= s.commits[0].Size
		s.commits = s.commits[1:]
	}
	if len(s.commits) == 0 {
		s.commits = nil
	}
}

// first returns the offset of the first commit.
func (s *shown) first() uint64 { return s.next - uint64(len(s.commits)) }

// from returns the commits from the offset of one of them on.
func (s *shown) from(offset uint64) []Commit { return s.commits[offset-s.first():] }
