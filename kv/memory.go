package kv

import (
	"cmp"
	"fmt"

	"github.com/walnutkv/walnut/internal/vfs"
)

// The defaults of a store in memory, whose log and snapshots take memory as well.
const (
	memoryDir             = "memory" // Its name in messages, and its directory in its own file system.
	memorySegmentSize     = 1 << 20
	memoryCheckpointFloor = 4 << 20
	memorySnapshotsKept   = 1
)

// OpenMemory opens a store that is empty and lives in this process's memory alone: for tests, caches, and systems without
// files. It is the same engine with a file system in memory, so everything works, Watch, Backup and At included. No byte
// reaches a disk, and after Close nothing is left but what a Backup wrote, from which Restore makes a store on disk.
//
// A commit is acknowledged and visible at once: Options.Sync and its interval don't count. Besides the pairs, such a store
// takes memory for its log and for one snapshot, which is compressed. So three defaults are smaller: SegmentSize is 1 MiB,
// CheckpointFloor 4 MiB and SnapshotsKept 1. The log then takes at most about 4 MiB or, if that is more, half of the
// snapshot. While a checkpoint is being taken, there is a second snapshot, and a log that may be twice as long, or up to about
// sixteen times where many goroutines keep putting: see Options.CheckpointFactor. A negative CheckpointFactor takes no
// snapshots and lets the log grow for good.
//
// Errors are those of options: ReadOnly and ArchiveDir are refused.
func OpenMemory(opts Options) (*DB, error) {
	switch {
	case opts.ReadOnly:
		return nil, fmt.Errorf("kv: open %s: option ReadOnly: a store in memory begins empty", memoryDir)
	case opts.ArchiveDir != "":
		return nil, fmt.Errorf("kv: open %s: option ArchiveDir: a store in memory has no archive", memoryDir)
	}
	opts.fs = vfs.NewLean()
	opts.Sync = SyncNever // Syncing does nothing there, and waiting for it would cost a group of commits a switch of goroutines.
	opts.SegmentSize = cmp.Or(opts.SegmentSize, memorySegmentSize)
	opts.CheckpointFloor = cmp.Or(opts.CheckpointFloor, memoryCheckpointFloor)
	opts.SnapshotsKept = cmp.Or(opts.SnapshotsKept, memorySnapshotsKept)
	return Open(memoryDir, opts)
}
