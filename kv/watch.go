package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
)

// WatchOptions say what Watch yields. The zero value is every commit from now on.
type WatchOptions struct {
	// From is the offset of the first commit that is wanted; 0 is the one after DB.Offset at the time of the call. One that doesn't
	// exist yet is waited for.
	From uint64
	// Prefix, unless empty, leaves out mutations of other keys, and commits that have no others. A range delete that may touch a
	// key with the prefix is one of them.
	Prefix []byte
}

// Watch yields commits in order, without a gap or a repeat: those that are there already from opts.From on, and then each new one as
// it becomes visible. So a Get sees the commit that was yielded, or a later one. In the default mode the commits are durable: none is
// ever taken back. In the relaxed modes a power cut may take a commit that was yielded. It does not end by itself. The mutations, which
// watchers share, are read-only and stay valid.
//
// A consumer that is slow, or comes back after a while with From one more than what it has seen, loses nothing and slows nobody: what it
// missed is read from the log and, where a checkpoint has truncated that, from Options.ArchiveDir. Without an archive the error
// wraps ErrTruncated and names the oldest commit that is held; see Options.LogKept. In a replica that is also the error of a commit before
// the last gap in its archive. Other errors are ctx's, ErrClosed once the store
// is being closed, which doesn't wait for watchers, ErrFailed, and a *CorruptError. A store that is open for reading only gets no
// new commits: after the last one the error is ErrReadOnly. One with Options.Follow does, until the error that ends following.
//
// Any number of watchers may run at a time.
func (db *DB) Watch(ctx context.Context, opts WatchOptions) iter.Seq2[Commit, error] {
	if opts.From == 0 {
		opts.From = db.Offset() + 1
	}
	opts.Prefix = bytes.Clone(opts.Prefix)
	return func(yield func(Commit, error) bool) {
		if db.visible.load() == nil {
			yield(Commit{}, fmt.Errorf("kv: watch: %w", ErrClosed))
			return
		}
		ctx, done := db.untilClosed(ctx)
		defer done()
		w := watcher{db: db, ctx: ctx, next: opts.From, prefix: opts.Prefix, yield: yield, stream: db.feed.join(db)}
		defer db.feed.leave()
		if err := w.run(); err != nil && !errors.Is(err, errEnough) {
			yield(Commit{}, fmt.Errorf("kv: watch commit %d: %w", w.next, err))
		}
	}
}

// errEnough ends a watcher whose consumer wants no more.
var errEnough = errors.New("the consumer wants no more")

// watcher is one consumer of a store's commits. It belongs to the consumer's goroutine.
type watcher struct {
	db     *DB
	ctx    context.Context
	stream *stream
	next   uint64 // The offset of the commit that comes next.
	prefix []byte
	yield  func(Commit, error) bool
}

// run yields commits until there is an error, which is errEnough where the consumer wants no more.
func (w *watcher) run() error {
	for w.ctx.Err() == nil {
		var err error
		switch seen := w.stream.shown.Load(); {
		case w.next < seen.first():
			err = w.catchUp(seen.first())
		case w.next < seen.next:
			err = w.takeAll(seen.from(w.next))
		case seen.err != nil:
			err = seen.err
		default:
			select {
			case <-seen.more:
			case <-w.ctx.Done():
			}
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(w.ctx)
}

func (w *watcher) takeAll(commits []Commit) error {
	for _, c := range commits {
		if err := w.take(c); err != nil {
			return err
		}
	}
	return nil
}

// take yields a commit, or what the consumer wants of it.
func (w *watcher) take(c Commit) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	w.next = c.Offset + 1
	if w.db.opts.replicated && len(c.Mutations) == 0 {
		return nil // An entry that changed nothing.
	}
	if len(w.prefix) > 0 {
		if c.Mutations = touching(c.Mutations, w.prefix); len(c.Mutations) == 0 {
			return nil
		}
	}
	if !w.yield(c, nil) {
		return errEnough
	}
	return nil
}

// catchUp yields the commits before an offset, from the log or, where that no longer has them, the archive.
func (w *watcher) catchUp(before uint64) error {
	err := w.read(w.db.oldCommits(w.next), before)
	if err == nil && w.next < before { // A log that is only read may end before a snapshot that is shown.
		err = w.read(w.db.newCommits(w.ctx, w.next), before)
	}
	if !errors.Is(err, ErrTruncated) || w.db.opts.ArchiveDir == "" {
		return err
	}
	archiveErr := w.read(w.db.archived(w.ctx, w.next), before)
	if errors.Is(archiveErr, fs.ErrNotExist) { // Nothing was archived yet.
		return fmt.Errorf("%w; %w", err, archiveErr)
	}
	return archiveErr
}

// read yields commits up to an offset.
func (w *watcher) read(commits iter.Seq2[Commit, error], before uint64) error {
	for c, err := range commits {
		if err != nil {
			return orClosed(err)
		}
		if err := w.take(c); err != nil || w.next >= before {
			return err
		}
	}
	return nil
}

// Touches reports whether the mutation may change a key with a prefix: a put or a delete of such a key, or a range delete whose
// range has one.
func (m *Mutation) Touches(prefix []byte) bool {
	touches := bytes.HasPrefix(m.Key, prefix)
	if m.Kind != MutationDeleteRange {
		return touches
	}
	begins := touches || bytes.Compare(m.Key, prefix) < 0
	return begins && (len(m.End) == 0 || bytes.Compare(m.End, prefix) > 0 && bytes.Compare(m.Key, m.End) < 0)
}

// touching returns those mutations that may change a key with a prefix.
func touching(mutations []Mutation, prefix []byte) (some []Mutation) {
	for i := range mutations {
		if mutations[i].Touches(prefix) {
			some = append(some, mutations[i])
		}
	}
	return some
}
