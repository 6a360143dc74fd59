package kv

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/wal"
)

// Limits of what a store holds, in bytes.
const (
	MaxKeySize   = 64 << 10
	MaxValueSize = 32 << 20

	// DefaultMaxCommitSize is the default of Options.MaxCommitSize, and the most that can be asked for: it is what
	// the log takes as one record.
	DefaultMaxCommitSize = wal.DefaultMaxRecordSize
)

// SyncMode says when a commit is acknowledged and becomes visible.
type SyncMode = wal.SyncMode

// The sync modes. In each of them an acknowledged commit survives the death of the process.
const (
	// SyncAlways acknowledges a commit once it is durable. A power cut takes nothing that was acknowledged or read.
	SyncAlways = wal.SyncAlways
	// SyncInterval acknowledges a commit once it is written. A power cut takes at most what was acknowledged in the
	// last Options.SyncInterval.
	SyncInterval = wal.SyncInterval
	// SyncNever acknowledges a commit once it is written. A power cut takes what was acknowledged since the last
	// DB.Sync, DB.Close or full segment.
	SyncNever = wal.SyncNever
)

// ParseSyncMode returns the mode of that name: always, interval or never.
func ParseSyncMode(name string) (SyncMode, error) { return wal.ParseSyncMode(name) }

// Options say how to open a store. The zero value works and promises the most: durable before acknowledged.
type Options struct {
	// ReadOnly opens the store for reading: it takes no lock, replays the log in memory, and changes no byte on disk.
	// It works beside a live writer and shows a state out of that writer's history, as of the moment of opening.
	ReadOnly bool
	// Sync says when a commit is acknowledged. The default is SyncAlways.
	Sync SyncMode
	// SyncInterval is the longest time between two syncs under SyncInterval. The default is 100 ms.
	SyncInterval time.Duration
	// SegmentSize is the size in bytes of a segment of the log, 4 KiB to 1 GiB. The default is 64 MiB.
	SegmentSize int64
	// MaxCommitSize is the largest commit in bytes, encoded. The default is 64 MiB, and so is the most that can be
	// asked for.
	MaxCommitSize int
	// SlowSync is how long a sync of the log may take before Logger is told that it was slow, once a second at most. The
	// default is one second: a disk at work takes a hundredth of that. A negative value tells of none.
	SlowSync time.Duration
	// LowSpace is how many bytes the log's file system should have left. Where it has less when the store is opened or
	// the log takes more space, Logger is told, and again only after there was enough. The default is 256 MiB; a
	// negative value tells of nothing.
	LowSpace int64
	// Logger gets what an operator should know: as warnings a damaged or unfinished log that was mended, slow syncs and
	// low space, as an error that the log has failed, for information what opening found, and for debugging each new
	// segment. It is called where commits wait, so it must not call the store and should not take long. The default
	// discards it all.
	Logger *slog.Logger
	// Progress, if set, is called by Open while it replays the log, ten times a second at most and once at the end.
	Progress func(Progress)
	// FS is the file system; nil is the operating system's. Its type is internal: it is there for this module's
	// tests.
	FS vfs.FS
}

// Progress says how far the replay of a log has come.
type Progress struct {
	Offset uint64 // The commit that was replayed last.
	Last   uint64 // The last commit of the log.
}

// withDefaults returns the options with every zero field set that the log doesn't set by itself, or an error naming a
// field out of range.
func (o Options) withDefaults() (Options, error) {
	if o.MaxCommitSize == 0 {
		o.MaxCommitSize = DefaultMaxCommitSize
	}
	if o.MaxCommitSize < 0 || o.MaxCommitSize > DefaultMaxCommitSize {
		return o, fmt.Errorf("kv: option MaxCommitSize: %d is not in 1 to %d", o.MaxCommitSize, DefaultMaxCommitSize)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	return o, nil
}

// log returns the options for the log of the store in dir. The log's own record limit stays at its default, so that a
// store written under a larger MaxCommitSize can be read under a smaller one.
func (o Options) log(dir string) wal.Options {
	return wal.Options{
		Sync:          o.Sync,
		SyncInterval:  o.SyncInterval,
		SegmentSize:   o.SegmentSize,
		ReadOnly:      o.ReadOnly,
		QuarantineDir: filepath.Join(dir, quarantineName),
		SlowSync:      o.SlowSync,
		LowSpace:      o.LowSpace,
		Logger:        o.Logger,
		FS:            o.FS,
	}
}
