package wal

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Defaults and limits.
const (
	DefaultSegmentSize   = 64 << 20
	DefaultMaxRecordSize = 64 << 20
	DefaultSyncInterval  = 100 * time.Millisecond
	DefaultIdleMark      = time.Second
	DefaultSlowSync      = time.Second
	DefaultLowSpace      = 256 << 20

	// MinSegmentSize and MaxSegmentSize bound Options.SegmentSize: positions in a store are 32 bits wide in an index.
	MinSegmentSize = 4 << 10
	MaxSegmentSize = 1 << 30

	// MaxRecordSizeLimit bounds what Options.MaxRecordSize can ask for: 28 bits of a frame's header hold a length.
	MaxRecordSizeLimit = 1<<28 - 1
)

// SyncMode says when an append is acknowledged. In every mode an acknowledged record survives the death of the
// process; the modes differ in what a power cut can take.
type SyncMode uint8

const (
	// SyncAlways acknowledges a record once it is durable. A power cut takes nothing that was acknowledged.
	SyncAlways SyncMode = iota
	// SyncInterval acknowledges a record once it is written, and syncs in the background. A power cut takes at most
	// what was acknowledged in Options.SyncInterval, the time that a sync waits for others, and the time that it takes.
	SyncInterval
	// SyncNever acknowledges a record once it is written, and syncs when a segment is full, on Sync and on Close. A
	// power cut takes what was acknowledged since then.
	SyncNever
)

// String returns the mode's name: always, interval or never.
func (m SyncMode) String() string {
	return nameOf(uint8(m), "SyncMode(%d)", "always", "interval", "never")
}

// nameOf returns a value's name, or what it is called that has none.
func nameOf(value uint8, unnamed string, names ...string) string {
	if int(value) < len(names) {
		return names[value]
	}
	return fmt.Sprintf(unnamed, value)
}

// ParseSyncMode is the inverse of SyncMode.String.
func ParseSyncMode(name string) (SyncMode, error) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		if mode.String() == name {
			return mode, nil
		}
	}
	return 0, fmt.Errorf("sync mode %q: want always, interval or never", name)
}

// Options say how to open a log. The zero value works and promises the most.
type Options struct {
	// Sync says when an append is acknowledged. The default is SyncAlways.
	Sync SyncMode
	// SyncInterval is the time between two syncs under SyncInterval, while records come in. The default is 100 ms.
	SyncInterval time.Duration
	// SegmentSize is the size in bytes at which a segment is full; a record or batch that is larger gets a segment of its own.
	// The default is 64 MiB: large enough that rolling costs nothing, small enough that truncation frees space soon.
	SegmentSize int64
	// MaxRecordSize is the largest payload in bytes that Append takes. The default is 64 MiB. A larger record can be read.
	MaxRecordSize int
	// IdleMark is how long a log waits after its last append before it writes the mark that proves that append
	// durable (see docs/format.md). The default is one second; a negative value writes none.
	IdleMark time.Duration
	// ReadOnly opens the log without changing a byte of it. It works beside a live writer in another process and
	// sees what that writer had written when the log was opened. Every method that writes returns ErrReadOnly.
	ReadOnly bool
	// Follow, with ReadOnly, keeps the log up with its live writer: Last and Follow go on as records become durable, which the writer's
	// later frames prove, or else a sync of the writer's file by this log. A damaged log is refused. Log.Stats().Failed says why following
	// has ended, with the log as it was then: ErrDiverged, ErrCorrupt, ErrVersion, ErrFailed where that sync failed, an error of the file
	// system that stays for a while, such as fs.ErrNotExist for a directory that vanished, or the error of Looked.
	Follow bool
	// Looked, if set, is called with Follow after each look for more, from one goroutine: with the last offset that the look found, which
	// may not be durable yet and so be after Last, and with the time at which the look began. An error ends following.
	Looked func(last uint64, at time.Time) error
	// MustExist refuses a directory without a log, with fs.ErrNotExist, instead of making one. Nothing is written then.
	MustExist bool
	// ID is the identity of a log that is made; zero is a random one. A log that is there already keeps its own: see Log.ID.
	ID [16]byte
	// QuarantineDir is where a recovery keeps the bytes that it cuts off. The default is "quarantine" in the log's directory.
	QuarantineDir string
	// ArchiveDir is where TruncateFront moves segments, for OpenArchive to read. Each is durable there before it leaves the
	// log: a second name of the same file, or a copy. The directory is made where it is missing. It must be this log's alone,
	// outside the log's own. Without one, which is the default, truncated segments are lost.
	ArchiveDir string
	// Syncs of records that take SlowSync or longer are logged as warnings, at most one per second. The default is one
	// second: a disk at work takes a hundredth of that. A negative value logs none.
	SlowSync time.Duration
	// LowSpace is how many bytes the file system should have left. Where it has less when the log is opened, grows or rolls, a
	// warning is logged, once until there is enough again. The default is 256 MiB; a negative value logs nothing.
	LowSpace int64
	// Landed, if set, is called under SyncAlways for each group of records that is durable, with its last offset: in order, one
	// at a time, before a Wait for it returns, with no lock held. It must not call the log's methods that write.
	Landed func(last uint64)
	// Logger gets what an operator should know. It is called where callers wait for the log, so it must not call the log
	// and should not take long. The default discards it.
	Logger *slog.Logger
	// FS is the file system; nil is the operating system's. Its type is internal: it is for this module's tests.
	FS vfs.FS

	foreground bool // For tests: nothing happens but in the caller's goroutine.
	writeFrom  int  // For tests: see defaultWriteFrom.
}

// withDefaults returns the options with every zero field set, or an error naming a field out of range.
func (o Options) withDefaults() (Options, error) {
	o.SyncInterval = cmp.Or(o.SyncInterval, DefaultSyncInterval)
	o.SegmentSize = cmp.Or(o.SegmentSize, DefaultSegmentSize)
	o.MaxRecordSize = cmp.Or(o.MaxRecordSize, DefaultMaxRecordSize)
	o.IdleMark = cmp.Or(o.IdleMark, DefaultIdleMark)
	o.SlowSync = cmp.Or(o.SlowSync, DefaultSlowSync)
	o.LowSpace = cmp.Or(o.LowSpace, DefaultLowSpace)
	o.writeFrom = cmp.Or(o.writeFrom, defaultWriteFrom)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	switch {
	case o.Sync > SyncNever:
		return o, fmt.Errorf("wal: option Sync: %v is unknown", o.Sync)
	case o.Follow && !o.ReadOnly:
		return o, errors.New("wal: option Follow: it needs ReadOnly")
	case o.SyncInterval < 0:
		return o, fmt.Errorf("wal: option SyncInterval: %v is negative", o.SyncInterval)
	case o.SegmentSize < MinSegmentSize || o.SegmentSize > MaxSegmentSize:
		return o, fmt.Errorf("wal: option SegmentSize: %d is not in %d to %d", o.SegmentSize, MinSegmentSize, MaxSegmentSize)
	case o.MaxRecordSize < 0 || o.MaxRecordSize > MaxRecordSizeLimit:
		return o, fmt.Errorf("wal: option MaxRecordSize: %d is not in 0 to %d", o.MaxRecordSize, MaxRecordSizeLimit)
	}
	return o, nil
}
