package kv

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// Limits of what a store holds, in bytes.
const (
	MaxKeySize   = 64 << 10
	MaxValueSize = 32 << 20
	// DefaultMaxCommitSize is the default and the maximum of Options.MaxCommitSize: what the log takes as one record.
	DefaultMaxCommitSize = wal.DefaultMaxRecordSize
)

// SyncMode says when a commit is acknowledged and becomes visible.
type SyncMode = wal.SyncMode

// The sync modes. In each of them an acknowledged commit survives the death of the process.
const (
	SyncAlways   = wal.SyncAlways   // Once it is durable: a power cut takes nothing that was acknowledged or read.
	SyncInterval = wal.SyncInterval // Once it is written: a power cut takes at most the last Options.SyncInterval.
	SyncNever    = wal.SyncNever    // The same, but a power cut takes all since the last DB.Sync, DB.Close or full segment.
)

// ParseSyncMode returns the mode of that name: always, interval or never.
func ParseSyncMode(name string) (SyncMode, error) { return wal.ParseSyncMode(name) }

// Options say how to open a store. The zero value works and promises the most: durable before acknowledged.
type Options struct {
	// ReadOnly opens the store for reading: it takes no lock and changes no byte on disk. It works beside a live writer and
	// shows that writer's state as of opening. So that no power cut can take what it shows, it syncs the log's last file. Where the
	// system has made the file system read-only after an error, it can't, and logs a warning.
	ReadOnly bool
	// Follow, with ReadOnly, keeps the store up with its live writer in another process: new commits show within milliseconds, across
	// the writer's checkpoints, its death and its return. What shows is durable, whatever the writer's Sync, and never goes back: where
	// later records don't prove that, the follower syncs the log's last file, which changes no byte. A follower that was too slow for
	// the writer's checkpoints goes on from the newest snapshot. Watch works too. DB.Stats has the FollowLag, and in Failed what has ended
	// following, after which reads go on with what was shown last: ErrDiverged where the store in the directory is no longer the
	// same, ErrNotStore where it is gone, ErrVersion where a newer writer has taken over, ErrIndex where a commit has a pair that Indexes
	// can't take, a *CorruptError, or ErrFailed.
	Follow bool
	// Sync says when a commit is acknowledged. The default is SyncAlways.
	Sync SyncMode
	// SyncInterval is the longest time between two syncs under SyncInterval. The default is 100 ms.
	SyncInterval time.Duration
	// SegmentSize is the size in bytes of a segment of the log, 4 KiB to 1 GiB. The default is 64 MiB.
	SegmentSize int64
	// MaxCommitSize is the largest commit in bytes, encoded. The default, 64 MiB, is the most that can be asked for.
	MaxCommitSize int
	// Syncs that take SlowSync or longer, by default a second, are logged as warnings, at most one a second. If negative, none are.
	SlowSync time.Duration
	// LowSpace is how many bytes the log's file system should have left. If it has less when the store is opened or the log
	// takes more space, a warning is logged, once until there is enough. The default is 256 MiB; a negative value logs none.
	LowSpace int64
	// Logger gets what an operator should know: as errors a store that is refused, a failed log and failed checkpoints; as
	// warnings what was mended, damaged snapshots, slow syncs and low space. It is called while commits wait, so it must not
	// call the store and should not take long. The default discards it all.
	Logger *slog.Logger
	// Progress, if set, is called while Open loads and replays, at most ten times a second, and once at the end.
	Progress func(Progress)
	// CheckpointFactor is how large the log after the newest snapshot may grow, in proportion to that snapshot, before a
	// checkpoint starts by itself. The default is 0.5: with two snapshots kept, the store then takes at most about three
	// times its data on disk, and up to four and a half times while a third snapshot is being written, if its values don't
	// compress; text takes less than half of that. Beside a checkpoint that is slower than the writers the log grows, too: from eight
	// times of what makes one due they rest, up to a second for each commit, so that it hardly gets twice as long as that, but many times
	// with batches of MiB, or with contexts that end before a rest does. A larger factor writes less and starts more slowly; a negative
	// one starts none, nor does Close.
	CheckpointFactor float64
	// CheckpointFloor is how many bytes that log must have for it, however small the snapshot is. The default is 64 MiB.
	CheckpointFloor int64
	// CheckpointOnClose makes Close take a checkpoint in any case, so that the next start has nothing to replay, and return an error
	// where that fails. Without it Close takes one where it pays: see there.
	CheckpointOnClose bool
	// SnapshotsKept is how many sound snapshots a checkpoint leaves, 2 by default. It reads each whole. The log is truncated
	// before the oldest of them, and not until there are that many, so that damage to all but one can be survived.
	SnapshotsKept int
	// LogKept is how many bytes of the log a checkpoint leaves besides what it must: for Watch, whose consumers then go on after a
	// break without an archive, and for DB.Commits. Whole segments stay, so it may be up to one more. The default is 0.
	LogKept int64
	// SnapshotCompression says how snapshots and backups are stored. The default is S2.
	SnapshotCompression Compression
	// Indexes are the store's secondary indexes, for ScanIndex. They are in memory only: Open and At make them of the pairs,
	// so they may be other ones each time. Open doesn't wait until they are in order, which takes half a second for a million
	// pairs; the first ScanIndex does. The default is none.
	Indexes []Index
	// ArchiveDir, if set, is a directory in which the segments of the log are kept that a checkpoint truncates, so that
	// Restore can go to any moment since. Open for writing makes it where it is missing, and fails before it changes anything where the
	// directory can't be used, or is the store's or in it. It should be used by one store alone. Nothing removes what is in it. When the store is
	// opened without it, checkpoints don't truncate the log, which would leave a hole, and log a warning. To do without the
	// archive for good, remove the file ARCHIVE in the store's directory. Each replica has its own archive, with what it applied. An install
	// leaves a gap in it: what the log had and no checkpoint had truncated, and what the node never got. Restore and Watch return
	// ErrTruncated there.
	ArchiveDir string
	// Clock, for tests of programs, returns the time that the store goes by for deadlines and for the times of commits; nil is the
	// system's clock. The store's time stands still where it goes back, and while it is before 1970. Commits and reads call it, many
	// at a time, and wait for it, so it must be fast and must not call the store.
	Clock func() time.Time

	fs     vfs.FS                                // The file system; nil is the operating system's.
	landed func(last uint64)                     // The log's hook, in a store that takes commits.
	looked func(last uint64, at time.Time) error // The log's hook, in a store that follows.

	member     *Member // Of a replica that takes entries.
	replicated bool    // The store is a replica, perhaps one that is only read. Set when it is opened.

	sweepByHand bool // For tests: nothing is swept but by sweep.
}

// Compression says how the blocks of a snapshot are stored.
type Compression = snapshot.Compression

// The compressions. Where a block doesn't get smaller it is stored as it is, whatever was asked for.
const (
	CompressionDefault = snapshot.DefaultCompression
	CompressionNone    = snapshot.NoCompression
	CompressionS2      = snapshot.S2
	CompressionZstd    = snapshot.Zstd
)

// ParseCompression returns the compression of that name: default, none, s2 or zstd.
func ParseCompression(name string) (Compression, error) { return snapshot.ParseCompression(name) }

// DefaultSnapshotsKept is the default of Options.SnapshotsKept.
const DefaultSnapshotsKept = 2

// Progress says how far a start has come. First a snapshot is loaded, if there is one, then the log after it is replayed.
type Progress struct {
	Loaded, Pairs uint64 // Pairs loaded of the snapshot's; both 0 where there is none.
	Offset        uint64 // The commit that was replayed last; 0 while the snapshot is being loaded.
	Last          uint64 // The last commit of the log.
}

// withDefaults returns the options with every zero field set that the log doesn't set, or an error naming a field out of range.
func (o Options) withDefaults() (Options, error) {
	o.MaxCommitSize = cmp.Or(o.MaxCommitSize, DefaultMaxCommitSize)
	o.CheckpointFactor = cmp.Or(o.CheckpointFactor, 0.5)
	o.CheckpointFloor = cmp.Or(o.CheckpointFloor, 64<<20)
	o.SnapshotsKept = cmp.Or(o.SnapshotsKept, DefaultSnapshotsKept)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.fs = cmp.Or(o.fs, vfs.OS)
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	o.Indexes = slices.Clone(o.Indexes)
	if err := checkIndexes(o.Indexes); err != nil {
		return o, err
	}
	switch {
	case o.Follow && !o.ReadOnly:
		return o, errors.New("kv: option Follow: it needs ReadOnly")
	case o.MaxCommitSize < 0 || o.MaxCommitSize > DefaultMaxCommitSize:
		return o, fmt.Errorf("kv: option MaxCommitSize: %d is not in 1 to %d", o.MaxCommitSize, DefaultMaxCommitSize)
	case o.CheckpointFloor < 0:
		return o, fmt.Errorf("kv: option CheckpointFloor: %d is negative", o.CheckpointFloor)
	case o.LogKept < 0:
		return o, fmt.Errorf("kv: option LogKept: %d is negative", o.LogKept)
	case o.SnapshotsKept < 0:
		return o, fmt.Errorf("kv: option SnapshotsKept: %d is negative", o.SnapshotsKept)
	case o.SnapshotCompression > CompressionZstd:
		return o, fmt.Errorf("kv: option SnapshotCompression: %v is unknown", o.SnapshotCompression)
	}
	return o, nil
}

// log returns the options for the log of the store in dir. The log's own record limit stays at its default, so that a
// store written under a larger MaxCommitSize can be read under a smaller one.
func (o Options) log(dir string) wal.Options {
	var id [16]byte
	recordMax := 0
	if o.member != nil {
		id, recordMax = o.member.Cluster, DefaultMaxCommitSize+entryExtra
	}
	return wal.Options{
		ID:            id,
		MaxRecordSize: recordMax,
		Sync:          o.Sync,
		SyncInterval:  o.SyncInterval,
		SegmentSize:   o.SegmentSize,
		ReadOnly:      o.ReadOnly,
		Follow:        o.looked != nil,
		Looked:        o.looked,
		QuarantineDir: filepath.Join(dir, quarantineName),
		ArchiveDir:    o.ArchiveDir,
		SlowSync:      o.SlowSync,
		LowSpace:      o.LowSpace,
		Landed:        o.landed,
		Logger:        o.Logger,
		FS:            o.fs,
	}
}

func (o Options) snapshot() snapshot.Options {
	return snapshot.Options{Compression: o.SnapshotCompression}
}

// stateSnapshot returns the options for a snapshot of a state with that checksum, which is looked at once all pairs are written.
func (o Options) stateSnapshot(sum *uint64) snapshot.Options {
	opts := o.snapshot()
	opts.StateSum = sum
	return opts
}
