package wal

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/internal/histogram"
)

// slowSyncPause is the least time between two warnings of slow syncs: on a disk that has become slow every sync is.
const slowSyncPause = time.Second

// meter measures a log while it runs, and logs what an operator should know. It may be used concurrently.
type meter struct {
	dir  string
	opts Options

	syncs  histogram.Histogram // How long syncs of records took, in nanoseconds.
	groups histogram.Histogram // How many records each of them made durable.
	slow   atomic.Uint64       // How many of them were slow.

	mu      sync.Mutex // Guards what follows. It is taken where something is slow or grows, never for each record.
	warned  time.Time  // When a slow sync was logged last.
	skipped uint64     // Slow syncs since then.
	low     bool       // That space is low was logged, and it has not recovered since.
}

func newMeter(dir string, opts Options) *meter { return &meter{dir: dir, opts: opts} }

// timedSync syncs a store and measures it; it makes the given number of records durable.
func (m *meter) timedSync(s *store, records uint64) error {
	started := time.Now()
	err := s.sync()
	took := time.Since(started)
	if err == nil {
		m.syncs.Record(int64(took))
		if records > 0 {
			m.groups.Record(int64(records))
		}
	}
	if m.opts.SlowSync >= 0 && took >= m.opts.SlowSync {
		m.slow.Add(1)
		if skipped, due := m.slowDue(time.Now()); due {
			m.opts.Logger.Warn("sync was slow", "path", s.path, "elapsed", took, "limit", m.opts.SlowSync, "records", records, "not_logged", skipped)
		}
	}
	return err
}

// slowDue reports whether a slow sync is to be logged, and how many were not since the last one that was.
func (m *meter) slowDue(now time.Time) (skipped uint64, due bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.warned.IsZero() && now.Sub(m.warned) < slowSyncPause {
		m.skipped++
		return 0, false
	}
	skipped, m.skipped, m.warned = m.skipped, 0, now
	return skipped, true
}

// checkSpace warns of a file system that has little space left. It is called where the log takes space, never for each append.
func (m *meter) checkSpace() {
	free := m.freeSpace()
	if m.opts.LowSpace < 0 || free < 0 {
		return // Some systems don't say, and a disk that fails will show by itself.
	}
	m.mu.Lock()
	low := free < m.opts.LowSpace
	due := low && !m.low
	m.low = low
	m.mu.Unlock()
	if due {
		m.opts.Logger.Warn("file system is low on space", "dir", m.dir, "free_bytes", free, "limit_bytes", m.opts.LowSpace)
	}
}

// freeSpace returns how many bytes the log's file system has left, -1 where that isn't known or there is no limit.
func (m *meter) freeSpace() int64 {
	free, err := m.opts.FS.FreeSpace(m.dir)
	if err != nil || free == math.MaxInt64 {
		return -1
	}
	return free
}
