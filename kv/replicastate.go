package kv

import (
	"context"
	"fmt"
	"io"
)

// Snapshot is the state of a replica after one entry, which later entries don't change. Its methods may be called concurrently. It takes
// memory for what has changed since, until it is garbage.
type Snapshot struct {
	db    *DB
	state *state
}

// Snapshot returns the state after the last entry that was applied, at once. A consensus that calls it between two calls of Apply knows
// which one that is. The error is ErrClosed.
func (r *Replica) Snapshot() (*Snapshot, error) {
	seen := r.db.visible.load()
	if seen == nil {
		return nil, fmt.Errorf("kv: snapshot: %w", ErrClosed)
	}
	return &Snapshot{r.db, seen}, nil
}

// Offset returns the offset of the last entry that it has.
func (s *Snapshot) Offset() uint64 { return s.state.offset }

// WriteTo writes what Install of another node takes, and what DB.Backup would have written. It is of use only if there is no error, which
// is one of w, or ErrClosed.
func (s *Snapshot) WriteTo(w io.Writer) (written int64, err error) {
	if err := s.db.use(context.Background()); err != nil { // The header needs the log.
		return 0, fmt.Errorf("kv: write snapshot: %w", err)
	}
	header := s.db.stateHeader(s.state)
	s.db.inflight.Done()
	counted := &countingWriter{w: w}
	pace := s.db.throttle(backupRest)
	if err := writeSnapshot(context.Background(), counted, header, s.db.opts.stateSnapshot(&s.state.sum), pace, pace.entries(s.state.entries())); err != nil {
		return counted.written, fmt.Errorf("kv: write snapshot: %w", err)
	}
	return counted.written, nil
}

// Keep writes it to the store's directory, as DB.Checkpoint does with what is visible, and then truncates the log as that does. Errors
// are those of DB.Checkpoint, and ErrTruncated where a later one was kept or installed meanwhile.
func (s *Snapshot) Keep(ctx context.Context) error {
	if _, err := s.db.whileOpen(ctx, true, s.state); err != nil {
		return fmt.Errorf("kv: keep snapshot: %w", err)
	}
	return nil
}

// countingWriter counts what is written.
type countingWriter struct {
	w       io.Writer
	written int64
}

func (c *countingWriter) Write(p []byte) (n int, err error) {
	n, err = c.w.Write(p)
	c.written += int64(n)
	return n, err
}
