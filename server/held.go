package server

import "sync/atomic"

// budget is memory that connections share.
type budget struct {
	limit int64
	taken atomic.Int64
}

// isMostlyFree reports whether less than a quarter is taken. Clients that aren't known take no more, so that they leave room for others.
func (b *budget) isMostlyFree() bool { return b == nil || b.taken.Load() < b.limit/4 }

// share is what one holder has of a budget. The zero share has no limit.
type share struct {
	of    *budget
	bytes int
}

// hold makes the share that large. It reports false, and changes nothing, where the budget has no more.
func (s *share) hold(bytes int) bool {
	if more := int64(bytes - s.bytes); more != 0 && s.of != nil && s.of.taken.Add(more) > s.of.limit && more > 0 {
		s.of.taken.Add(-more)
		return false
	}
	s.bytes = bytes
	return true
}

// add makes the share larger by what is in memory already, though the budget may have no more.
func (s *share) add(bytes int) {
	if s.bytes += bytes; s.of != nil {
		s.of.taken.Add(int64(bytes))
	}
}

// crowdedError says that a client's command finds no room, since all clients together hold as much as they may.
type crowdedError struct{}

func (crowdedError) Error() string { return "ERR the clients together hold too much memory" }
