package kv

import (
	"context"
	"errors"
	"sync"
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
	if f.watchers++; f.watchers > 1 {
		return f.stream
	}
	ctx, stop := context.WithCancel(db.checkpoints.ctx)
	f.stream, f.stop = &stream{next: db.Offset() + 1}, stop
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
	// streamAhead is how many commits a stream takes in before watchers hear of them, where the log always has more.
	streamAhead = 64
	// streamRest is for how long, for each watcher, a stream rests after it woke them: the commits of that time then cost one wake-up.
	streamRest = time.Microsecond
)

// stream is the last commits, for those watchers that keep up. Others read the log.
//
// Invariants: commits are the ones before next, without a gap, and visible; no commit in memory that was appended to is changed.
type stream struct {
	mu      sync.Mutex
	commits []Commit
	next    uint64        // The offset of the next one.
	bytes   int           // Of the commits, encoded.
	more    chan struct{} // Closed when there is more. nil while nothing waits.
	err     error         // Why there won't be more.
}

// after returns the commits from an offset on, or else what is closed when there are some. Where it returns neither, the stream
// begins later, at next.
func (s *stream) after(offset uint64) (commits []Commit, next uint64, more <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.next - uint64(len(s.commits))
	switch {
	case offset < first:
		return nil, first, nil, nil
	case offset < s.next:
		return s.commits[offset-first:], s.next, nil, nil
	case s.err != nil:
		return nil, s.next, nil, s.err
	}
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return nil, s.next, s.more, nil
}

// run follows the log until ctx is done, or the log ends.
func (s *stream) run(ctx context.Context, db *DB) {
	for {
		err := s.follow(ctx, db)
		if ctx.Err() != nil {
			err = ErrClosed // Otherwise nothing watches any more.
		}
		if !errors.Is(err, ErrTruncated) {
			s.end(orClosed(err))
			return
		}
		s.skipTo(db.Offset() + 1) // It was too slow for a checkpoint, so watchers read those from the log or an archive.
	}
}

// follow takes in the log's commits.
func (s *stream) follow(ctx context.Context, db *DB) error {
	ahead := 0
	for commit, err := range decoded(db.log.Follow(ctx, s.next), db.logged().decode) {
		if err != nil {
			return err
		}
		db.awaitVisible(commit.Offset)
		s.add(commit)
		if ahead++; ahead < streamAhead && commit.Offset < db.log.Last() {
			continue
		}
		ahead = 0
		s.wake()
		time.Sleep(time.Duration(db.feed.count()-1) * streamRest)
	}
	return nil
}

// awaitVisible returns once a commit that the log has acknowledged is visible, which in the relaxed modes takes a moment.
func (db *DB) awaitVisible(offset uint64) {
	if db.Offset() < offset {
		db.mu.Lock() // Which its writer holds until then.
		defer db.mu.Unlock()
	}
}

// add takes a commit in, and drops the oldest where there are too many.
func (s *stream) add(c Commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits = append(s.commits, c)
	s.bytes += c.Size
	s.next = c.Offset + 1
	for len(s.commits) > streamKept || s.bytes > streamBytes {
		s.bytes -= s.commits[0].Size
		s.commits = s.commits[1:]
	}
	if len(s.commits) == 0 {
		s.commits = nil // A large commit is not kept in memory.
	}
}

// skipTo lets the stream go on at a later commit.
func (s *stream) skipTo(next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits, s.bytes, s.next = nil, 0, next
	s.wakeLocked()
}

func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.wakeLocked()
}

// wake wakes the watchers that wait for more.
func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeLocked()
}

// wakeLocked is wake. mu is held.
func (s *stream) wakeLocked() {
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
}
