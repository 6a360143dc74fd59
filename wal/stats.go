package wal

import (
	"slices"

	"github.com/walnutkv/walnut/internal/histogram"
)

// SegmentInfo describes one segment.
type SegmentInfo struct {
	Base, Last uint64 // Offsets; Last is Base-1 where the segment is empty.
	Path       string // The store file.
	Bytes      int64  // Of header and frames, in bytes.
	Allocated  int64  // Length of the store file in bytes.
	Sealed     bool   // Ended by a seal: it isn't the active one, or the log was closed.
	IndexOK    bool   // The index was right when the log was opened.
}

// Segments describes the segments in order.
func (l *Log) Segments() []SegmentInfo {
	l.segments.mu.RLock()
	defer l.segments.mu.RUnlock()
	segments := l.segments.list
	infos := make([]SegmentInfo, len(segments))
	for i, g := range segments {
		infos[i] = g.store.info()
		infos[i].Last = l.Last()
		if i+1 < len(segments) {
			infos[i].Last, infos[i].Sealed = segments[i+1].base()-1, true
		}
		infos[i].IndexOK = len(l.recovery.RebuiltIndexes) == 0 || !slices.Contains(l.recovery.RebuiltIndexes, indexPath(g.store))
	}
	return infos
}

// info describes a store; the last offset is the caller's to know.
func (s *store) info() SegmentInfo {
	info := SegmentInfo{Base: s.head.base, Path: s.path, Bytes: s.written.position(), Sealed: s.sealed.Load()}
	if info.Sealed {
		info.Bytes += boundsFrameSize
	}
	if size, err := s.file.Size(); err == nil {
		info.Allocated = size
	}
	return info
}

// Stats are numbers about a log since it was opened.
type Stats struct {
	First, Last, Durable uint64 // Offsets.
	Segments             int
	Bytes                int64 // Of all files of the segments, in bytes.
	FreeBytes            int64 // What their file system has left; -1 where that isn't known or has no limit.

	Appends       uint64 // Records.
	AppendedBytes uint64 // Of their payloads.
	WrittenBytes  uint64 // Of their frames, which is what they take in the files.
	Writes        uint64 // Groups written.
	Syncs         uint64 // Of records; making space ahead of need has its own.
	Rolls         uint64
	IndexRebuilds uint64 // Indexes that were found wrong, at the start or by a reader.
	Failed        error  // Why the log takes no more records, nil if it does.

	SlowSyncs uint64 // Syncs that took Options.SlowSync or longer.
	// How long the syncs took that are counted in Syncs, in nanoseconds, and how many records each of them made
	// durable. A sync that had to wait for another one, such as of new space, took that time too.
	SyncLatency, GroupSize histogram.Snapshot
}

// Stats returns the log's numbers.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	stats := l.stats
	stats.Failed = l.failed
	l.mu.Unlock()
	stats.First, stats.Last, stats.Durable = l.First(), l.Last(), l.Durable()
	stats.FreeBytes, stats.IndexRebuilds, stats.SlowSyncs = l.meter.freeSpace(), l.rebuilt.Load(), l.meter.slow.Load()
	stats.SyncLatency, stats.GroupSize = l.meter.syncs.Snapshot(), l.meter.groups.Snapshot()
	for _, info := range l.Segments() {
		stats.Segments++
		stats.Bytes += info.Allocated + int64(info.Last+1-info.Base)*entrySize
	}
	return stats
}
