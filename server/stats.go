package server

import (
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/internal/histogram"
)

// Stats are a server's numbers at one moment. Counters count since New, or since a client's CONFIG RESETSTAT.
type Stats struct {
	Clients      int               // Connections that are open.
	Subscribed   int               // Those of them that listen to channels.
	Connections  uint64            // Connections that were accepted.
	Refused      uint64            // Connections that were refused, since there were too many.
	Commands     map[string]uint64 // How many commands have run, or were queued by MULTI, by name in lower case. Those never run are left out.
	Failures     uint64            // Replies that were errors.
	Slow         uint64            // Commands that got into the slow log.
	BytesIn      uint64            // Bytes from clients.
	BytesOut     uint64            // Bytes to clients.
	Memory       int64             // Bytes in use, as Options.MaxMemory counts them.
	MaxMemory    int64             // The limit, 0 without one.
	OutOfMemory  bool              // Whether commands that may need memory are refused.
	TotalMemory  int64             // Bytes that the process has from the system, as Go's runtime counts them.
	ReadLatency  Latency           // How long groups of commands took that only read.
	WriteLatency Latency           // How long groups took that wrote, their syncs included.
}

// Latency says how long groups of commands took, from when they were run until their replies were ready. P50 is what half of all took at
// most, P99 99 in a hundred; they are at most an eighth off.
type Latency struct {
	Count          uint64
	Mean, P50, P99 time.Duration
	Max            time.Duration

	spread histogram.Snapshot // In nanoseconds.
}

func newLatency(h *histogram.Histogram) Latency {
	spread := h.Snapshot()
	return Latency{
		Count: spread.Count, Mean: time.Duration(spread.Mean()), P50: time.Duration(spread.Quantile(0.5)),
		P99: time.Duration(spread.Quantile(0.99)), Max: time.Duration(spread.Max), spread: spread,
	}
}

// counters count what has happened.
type counters struct {
	connections atomic.Uint64
	refused     atomic.Uint64
	failures    atomic.Uint64
	slow        atomic.Uint64
	in          atomic.Uint64
	out         atomic.Uint64
	reads       histogram.Histogram // Times in nanoseconds.
	writes      histogram.Histogram
}

func newCounters() *counters { return new(counters) }

func (s *Server) counters() *counters { return s.counted.Load() }

// took counts a group of commands.
func (n *counters) took(time time.Duration, writes bool) {
	if writes {
		n.writes.Record(int64(time))
	} else {
		n.reads.Record(int64(time))
	}
}

// resetCounters sets the counters to zero.
func (s *Server) resetCounters() {
	s.counted.Store(newCounters())
	for _, c := range s.commands.all() {
		c.calls.Store(0)
	}
}

// Stats returns the server's numbers.
func (s *Server) Stats() Stats {
	n := s.counters()
	stats := Stats{
		Connections: n.connections.Load(), Refused: n.refused.Load(), Failures: n.failures.Load(), Slow: n.slow.Load(),
		BytesIn: n.in.Load(), BytesOut: n.out.Load(), Commands: make(map[string]uint64),
		Memory: s.memory.inUse(), MaxMemory: s.memory.limit.Load(), OutOfMemory: s.memory.full(), TotalMemory: totalMemory(),
		ReadLatency: newLatency(&n.reads), WriteLatency: newLatency(&n.writes),
	}
	for _, session := range s.each() {
		stats.Clients++
		if session.face.isSubscribed() {
			stats.Subscribed++
		}
	}
	for _, c := range s.commands.all() {
		if calls := c.calls.Load(); calls > 0 {
			stats.Commands[c.name] = calls
		}
	}
	return stats
}
