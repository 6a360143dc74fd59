package kv

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/wal"
)

// Entry is one entry of a consensus' log.
type Entry struct {
	Offset     uint64 // Its index.
	Term       uint64
	Kind       uint8 // What it is to the consensus. 0 is a command, whose Data may be what Consensus.Propose was given.
	AppendedAt time.Time
	Extensions []byte // What else the consensus keeps with it.
	Data       []byte
}

// ReplicaLog is the log of a replica's consensus, and of its store: the one log that there is. Its methods may be called concurrently.
// Errors are ErrClosed, ErrFailed after a failed write or sync, a *CorruptError, and what each method says.
//
// The store truncates its front, once snapshots have what goes. Of a snapshot that is installed nothing is in the log, which then begins
// after it.
type ReplicaLog struct {
	replica *Replica

	front atomic.Uint64 // The first offset that the consensus has left, if the store has more. Readers don't wait for a sync.

	mu        sync.Mutex // Held while the log changes. Taken before DB.mu.
	committed uint64     // The largest that Append or Agree was given.
	broken    error      // Why nothing can be appended any more.
}

// open goes on with a log that was opened.
func (l *ReplicaLog) open() {
	l.committed, _ = committedIn(l.replica.db.walDir(), l.wal()) // The start has read it.
}

func (l *ReplicaLog) wal() *wal.Log { return l.replica.db.log }

// Bounds returns the offsets of the first and the last entry. In an empty log first is last+1: the next entry may have that offset.
func (l *ReplicaLog) Bounds() (first, last uint64) {
	return max(l.wal().First(), l.front.Load()), l.wal().Last()
}

// Read returns an entry, in its own memory: an equal one to what was appended, but for the monotonic clock of its time. Offsets before
// the first entry are ErrTruncated, those after the last ErrOutOfRange.
func (l *ReplicaLog) Read(offset uint64) (Entry, error) {
	if front := l.front.Load(); offset < front {
		return Entry{}, fmt.Errorf("kv: read entry %d: %w: the first is %d", offset, ErrTruncated, front)
	}
	record, err := l.wal().Read(offset)
	if err != nil {
		return Entry{}, fmt.Errorf("kv: read entry: %w", orClosed(err))
	}
	e, err := readEntry(record)
	if err == nil && !e.decided {
		err = errDecision
	}
	if err != nil {
		err = undecodable(segmentPath(l.replica.db.walDir(), l.wal().Segments(), offset), offset, err)
		return Entry{}, fmt.Errorf("kv: read entry: %w", err)
	}
	read := Entry{
		Offset: offset, Term: e.term, Kind: uint8(e.kind), AppendedAt: deadlineTime(e.appended), Extensions: e.extensions, Data: e.data,
	}
	if e.isCommit() {
		read.Data = newProposal(e.made, e.base, e.mutations)
	}
	return read, nil
}

// Append adds entries, whose offsets follow that of the last one, and returns once they are durable. Only where a snapshot has everything
// that would be missing between, as after DropBack of entries that an install has made worthless, may there be a gap. committed is up to
// which offset the log's entries, these included, are known to be agreed upon; it may lag. Opening applies entries up to there.
//
// Nothing was appended after ErrNoSpace, ErrOutOfRange for an offset that doesn't follow, ErrCommitTooLarge, and ErrVersion for a commit
// of a newer program. A crash may keep some of the entries, from the first on.
func (l *ReplicaLog) Append(committed uint64, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.append(committed, entries); err != nil {
		return fmt.Errorf("kv: append entries from %d: %w", entries[0].Offset, err)
	}
	return nil
}

func (l *ReplicaLog) append(committed uint64, entries []Entry) error {
	if l.broken != nil {
		return l.broken
	}
	committed = max(committed, l.committed)
	payloads := make([][]byte, len(entries))
	for i := range entries {
		if want := entries[0].Offset + uint64(i); entries[i].Offset != want {
			return fmt.Errorf("%w: entry %d comes where %d is due", ErrOutOfRange, entries[i].Offset, want)
		}
		payload, err := entries[i].encode(committed)
		if err != nil {
			return fmt.Errorf("entry %d: %w", entries[i].Offset, err)
		}
		payloads[i] = payload
	}
	if err := l.goTo(entries[0].Offset); err != nil {
		return err
	}
	if _, err := l.wal().AppendBatch(payloads); err != nil {
		return l.failed(err)
	}
	l.committed = committed
	return nil
}

// Agree notes that the log's entries up to an offset are agreed upon. It is for a consensus that knows so without Append: then Install keeps
// what the log has after such a state. A later Append makes it durable.
func (l *ReplicaLog) Agree(offset uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed = max(l.committed, min(offset, l.wal().Last()))
}

// encode returns an entry's record.
func (e *Entry) encode(committed uint64) ([]byte, error) {
	stored := entry{decided: true}
	if e.Kind == 0 {
		proposed, err := readProposal(e.Data)
		switch {
		case err == nil:
			stored = proposed
		case errors.Is(err, ErrVersion):
			return nil, err
		}
	}
	if len(stored.mutations) == 0 {
		stored.data = e.Data
	}
	stored.term, stored.kind, stored.appended = e.Term, uint64(e.Kind), unixNano(e.AppendedAt)
	stored.extensions, stored.committed = e.Extensions, committed
	size := entryRoom + len(stored.mutations) + len(stored.data) + len(stored.extensions)
	if size > DefaultMaxCommitSize+entryExtra {
		return nil, tooLarge(size, DefaultMaxCommitSize+entryExtra)
	}
	return stored.append(make([]byte, 0, size)), nil
}

// goTo makes the log go on with an offset, over a gap if a snapshot has what is missing.
func (l *ReplicaLog) goTo(offset uint64) error {
	last := l.wal().Last()
	if offset == last+1 {
		return nil
	}
	held := l.replica.db.checkpoints.read().Offset
	if offset <= last || offset-1 > held {
		return fmt.Errorf("%w: the log ends with %d, the newest snapshot with %d", ErrOutOfRange, last, held)
	}
	return l.failed(l.wal().Reset(offset))
}

// DropFront lets go of the entries before an offset. The store may need some of them still: it truncates its log when it takes a
// checkpoint, so after the next opening some may be back. ErrOutOfRange is an offset more than one after the last entry.
func (l *ReplicaLog) DropFront(first uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.wal().Last(); first > last+1 {
		return fmt.Errorf("kv: drop entries before %d: %w: the last is %d", first, ErrOutOfRange, last)
	}
	l.front.Store(max(l.front.Load(), first))
	return nil
}

// DropBack removes the entries after an offset; one before the first entry empties the log. An entry that was applied can't be removed,
// unless a snapshot has it: ErrConflict. A crash leaves the log as it was, or without them.
func (l *ReplicaLog) DropBack(last uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last >= l.wal().Last() {
		return nil
	}
	if applied := l.replica.Applied(); last < applied && l.replica.db.checkpoints.read().Offset < applied {
		return fmt.Errorf("kv: drop entries after %d: %w: %d is applied", last, ErrConflict, applied)
	}
	if err := l.failed(l.wal().TruncateBack(max(last, l.wal().First()-1))); err != nil {
		return fmt.Errorf("kv: drop entries after %d: %w", last, err)
	}
	l.front.Store(min(l.front.Load(), l.wal().Last()+1))
	return nil
}

// failed returns an error of the log, and fails the store where the log has failed.
func (l *ReplicaLog) failed(err error) error {
	if errors.Is(err, ErrFailed) {
		l.fail(err)
	}
	if errors.Is(err, wal.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", ErrCommitTooLarge, err)
	}
	return orClosed(err)
}

// fail ends all writing. mu is held.
func (l *ReplicaLog) fail(err error) {
	db := l.replica.db
	db.mu.Lock()
	defer db.mu.Unlock()
	l.broken = cmp.Or(l.broken, err)
	db.failed = cmp.Or(db.failed, err)
}
