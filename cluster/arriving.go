package cluster

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// arriving is a snapshot that another node sends, while raft reads it from the connection.
type arriving struct {
	in    io.Reader
	term  uint64       // That of the leader which sends it.
	since atomic.Int64 // When the read began that is under way, in nanoseconds since 1970; 0 where none is.
	end   sync.Once
	ended chan struct{} // Closed once nothing more comes.
}

// Read implements io.Reader.
func (a *arriving) Read(into []byte) (int, error) {
	a.since.Store(time.Now().UnixNano())
	n, err := a.in.Read(into)
	a.since.Store(0)
	if err != nil {
		a.finish()
	}
	return n, err
}

// finish says that nothing more comes, or that it is not read.
func (a *arriving) finish() { a.end.Do(func() { close(a.ended) }) }

// waits returns for how long a read has waited for the other node.
func (a *arriving) waits() time.Duration {
	since := a.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}
