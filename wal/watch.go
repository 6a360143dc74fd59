package wal

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/internal/histogram"
)

// slowSyncPause is the least time between two warnings of slow syncs: on a disk that has become slow every sync is.
const slowSyncPause = time.Second

// watch is what a log measures while it runs, and what it has told its operator of. It may be used concurrently.
type watch struct {
	syncs  histogram.Histogram // How long syncs of records took, in nanoseconds.
	groups histogram.Histogram // How many records each of them made durable.
	slow   atomic.Uint64       // How many of them were slow.

	mu     sync.Mutex // Guards what follows. It is taken where something is slow or grows, never for each record.
	told   time.Time  // When a slow sync was told of last.
	untold uint64     // Slow syncs since then.
	low    bool       // That space is low has been told, and it has not recovered since.
}

// slowSync counts a slow sync. It reports whether to tell of it, and how many before it were not told of.
func (w *watch) slowSync(now time.Time) (tell bool, untold uint64) {
	w.slow.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.told.IsZero() && now.Sub(w.told) < slowSyncPause {
		w.untold++
		return false, 0
	}
	untold, w.untold, w.told = w.untold, 0, now
	return true, untold
}

// lowSpace notes whether space is low, and reports whether that is to be told: once, until it has recovered.
func (w *watch) lowSpace(low bool) (tell bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tell = low && !w.low
	w.low = low
	return tell
}

// timedSync is sync of a store, measured; it makes that many records durable.
func (l *Log) timedSync(store *store, records uint64) error {
	started := time.Now()
	err := store.sync()
	took := time.Since(started)
	if err == nil {
		l.watch.syncs.Record(int64(took))
		if records > 0 {
			l.watch.groups.Record(int64(records))
		}
	}
	l.watchSync(store, took, records)
	return err
}

// watchSync tells of a sync that was slow.
func (l *Log) watchSync(store *store, took time.Duration, records uint64) {
	if l.opts.SlowSync < 0 || took < l.opts.SlowSync {
		return
	}
	if tell, untold := l.watch.slowSync(time.Now()); tell {
		l.opts.Logger.Warn("sync was slow", "path", store.path, "elapsed", took, "limit", l.opts.SlowSync, "records", records, "untold", untold)
	}
}

// watchSpace tells of a file system that has little space left. It is called where the log takes space, so it tells in
// time, and costs an append nothing.
func (l *Log) watchSpace() {
	if l.opts.LowSpace < 0 || l.opts.ReadOnly {
		return
	}
	free, err := l.opts.FS.FreeSpace(l.dir)
	if err != nil {
		return // Not every system says; and a disk that fails will tell by itself.
	}
	if l.watch.lowSpace(free < l.opts.LowSpace) {
		l.opts.Logger.Warn("file system is low on space", "dir", l.dir, "free_bytes", free, "limit_bytes", l.opts.LowSpace)
	}
}

// freeSpace returns how many bytes the log's file system has left, -1 where that isn't known.
func (l *Log) freeSpace() int64 {
	free, err := l.opts.FS.FreeSpace(l.dir)
	if err != nil {
		return -1
	}
	return free
}
