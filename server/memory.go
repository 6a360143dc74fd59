package server

import (
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// How much memory is in use is measured when it was last measured memorySampled ago, or when memoryWritten bytes were put since. The second
// keeps a burst of large values from being let in on the strength of an old measurement.
const (
	memorySampled = 100 * time.Millisecond
	memoryWritten = 4 << 20
)

// pairOverhead is about how much memory a pair takes besides its key and its value, in bytes.
const pairOverhead = 64

// memory says how much of it is in use, and whether that is more than may be.
//
// What is in use is what lives in the Go heap. The last collection knows, since garbage doesn't count. What the store has grown by since then
// is added, so that a burst of writes between two collections shows. The store's data alone is counted where there was no collection.
type memory struct {
	store   Store
	limit   atomic.Int64 // 0 is none.
	used    atomic.Int64
	next    atomic.Int64 // When to measure again, in nanoseconds since began.
	written atomic.Int64 // Bytes that were put since the measuring before.
	began   time.Time

	mu     sync.Mutex
	cycles uint64 // Of collections, when base was taken.
	base   int64  // The store's data then.
}

// full reports whether more is in use than may be.
func (m *memory) full() bool {
	limit := m.limit.Load()
	return limit > 0 && m.inUse() > limit
}

// put notes that so many bytes are put.
func (m *memory) put(bytes int) { m.written.Add(int64(bytes)) }

// inUse returns how much is in use, as of a moment ago.
func (m *memory) inUse() int64 {
	now, next := int64(time.Since(m.began)), m.next.Load()
	due := now >= next || m.written.Load() >= memoryWritten
	if due && m.next.CompareAndSwap(next, now+int64(memorySampled)) {
		m.written.Store(0)
		m.measure()
	}
	return m.used.Load()
}

// measure takes a moment, which grows with how many pairs have expired and aren't deleted.
func (m *memory) measure() {
	m.mu.Lock()
	defer m.mu.Unlock()
	stats := m.store.Stats()
	data := stats.DataBytes + int64(stats.Keys+stats.Expired)*pairOverhead
	samples := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	if cycles := samples[0].Value.Uint64(); cycles != m.cycles {
		m.cycles, m.base = cycles, data
	}
	live := int64(samples[1].Value.Uint64())
	m.used.Store(max(data, live+max(0, data-m.base)))
}

// totalMemory returns how many bytes the process has from the system, as Go's runtime counts them.
func totalMemory() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
