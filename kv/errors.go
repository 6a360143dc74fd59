package kv

import (
	"errors"
	"fmt"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// Errors of opening a store.
var (
	// ErrNotStore reports a directory that holds no store: missing or without a log where a store is to be read, and
	// holding something else where one is to be written.
	ErrNotStore = errors.New("kv: directory holds no Walnut store")
	// ErrNotEmpty reports a directory that Restore was given and that holds something.
	ErrNotEmpty = errors.New("kv: directory is not empty")
	// ErrNotBackup reports bytes given to Restore that don't begin as a backup does. The error is a *CorruptError as well, since
	// damage to the first bytes of a backup looks the same.
	ErrNotBackup = snapshot.ErrNotSnapshot
	// ErrMismatch reports a backup, increment or archive of another store or history, or that starts after the others end.
	ErrMismatch = errors.New("kv: backups don't go together")
	// ErrLocked reports a store that another writer has open. The error is a *LockedError, which names the process.
	ErrLocked = vfs.ErrLocked
	// ErrVersion reports a store that a newer version of this program wrote.
	ErrVersion = wal.ErrVersion
	// ErrChanged reports a store that isn't as it was when a repair of it was planned. Nothing was changed: plan again.
	ErrChanged = errors.New("kv: store has changed since the repair was planned")
	// ErrReplica reports a store that is a replica where there must be none, or the other way round: a replica is written by
	// OpenReplica alone, as the node of the cluster that it was made for.
	ErrReplica = errors.New("kv: store is a replica")
	// ErrCorrupt reports bytes that were durable and are damaged now. The error is a *CorruptError. Nothing was changed.
	ErrCorrupt = wal.ErrCorrupt
)

// Errors of using a store. None of them changes the store, but for what ErrUndecided says.
var (
	// ErrNotFound reports that no visible pair has the key.
	ErrNotFound = errors.New("kv: key not found")
	// ErrClosed reports the use of a store after Close.
	ErrClosed = errors.New("kv: store is closed")
	// ErrReadOnly reports a write to a store that was opened with Options.ReadOnly.
	ErrReadOnly = errors.New("kv: store is read-only")
	// ErrEmptyKey reports a key without a byte.
	ErrEmptyKey = errors.New("kv: key is empty")
	// ErrKeyTooLarge reports a key, or a bound of a range delete, over MaxKeySize.
	ErrKeyTooLarge = errors.New("kv: key is too large")
	// ErrValueTooLarge reports a value over MaxValueSize.
	ErrValueTooLarge = errors.New("kv: value is too large")
	// ErrCommitTooLarge reports a commit over Options.MaxCommitSize.
	ErrCommitTooLarge = errors.New("kv: commit is too large")
	// ErrInvalidTTL reports a time to live that is not positive.
	ErrInvalidTTL = errors.New("kv: time to live is not positive")
	// ErrIndex reports a put for which the function of an index panicked or yielded a key over MaxKeySize, which is then
	// ErrKeyTooLarge as well. Where a pair of the store is the reason, Open returns it.
	ErrIndex = errors.New("kv: pair can't be indexed")
	// ErrTxDone reports the use of a transaction after its function has ended, or of a ReadView after Close.
	ErrTxDone = errors.New("kv: transaction or view is over")
	// ErrTxReadOnly reports a write in a View.
	ErrTxReadOnly = errors.New("kv: transaction is read-only")
	// ErrNoSpace reports a commit that was refused because the disk is full, or because a file must not become that large. The same
	// commit works once there is room.
	ErrNoSpace = wal.ErrNoSpace
	// ErrTruncated reports a commit, or the state after it, that is held no longer. The message names the oldest that is.
	ErrTruncated = wal.ErrTruncated
	// ErrDiverged reports that the store which a follower shows is no longer the one in its directory: see Options.Follow.
	ErrDiverged = wal.ErrDiverged
	// ErrOutOfRange reports an offset, or a time, after the last commit there is.
	ErrOutOfRange = wal.ErrOutOfRange
	// ErrFailed reports that writing or syncing the log failed, after which the store takes no more commits until it
	// is opened again. Reads go on. A commit was refused unless the error is ErrUndecided as well.
	// A checkpoint that finds the lock lost, since the directory was moved for example, fails the store as well.
	ErrFailed = wal.ErrFailed
	// ErrUndecided reports a commit whose outcome is not known: it may have happened, may still happen, or never will. To try again is
	// safe only where doing it twice is. It comes with the reason: ErrFailed, ctx's error, or that of a replica's consensus.
	ErrUndecided = errors.New("kv: commit is undecided")
)

// Errors of committing to a replica, ErrUndecided besides. Each wraps what its Consensus said.
var (
	// ErrNotLeader reports a commit that was refused since another node proposes. Nothing was changed.
	ErrNotLeader = errors.New("kv: replica doesn't lead")
	// ErrConflict reports a commit that was refused since another one came before it, of which it didn't know. Nothing was changed, and
	// the same commit may be tried again.
	ErrConflict = errors.New("kv: commit conflicts with another one")
)

// CorruptError says which bytes are damaged. errors.Is(err, ErrCorrupt) holds for it.
type CorruptError = wal.CorruptError

// LockedError says which process has a store open for writing. errors.Is(err, ErrLocked) holds for it.
type LockedError = vfs.LockedError

func checkKey(key []byte) error {
	switch {
	case len(key) == 0:
		return ErrEmptyKey
	case len(key) > MaxKeySize:
		return fmt.Errorf("%w: %d bytes, limit %d", ErrKeyTooLarge, len(key), MaxKeySize)
	}
	return nil
}

func checkValue(value []byte) error {
	if len(value) > MaxValueSize {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrValueTooLarge, len(value), MaxValueSize)
	}
	return nil
}
