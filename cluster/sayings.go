package cluster

import (
	"sync"
	"time"
)

const (
	sayingsApart = time.Minute // How often the same is logged, at most.
	sayingsMost  = 64          // How many are known. Others are not logged until one is older than that.
)

// sayings is what was logged lately, so that what happens again and again is logged once a minute. The zero value has nothing.
type sayings struct {
	mu   sync.Mutex
	when map[string]time.Time
}

// again notes that a text is about to be logged, and reports whether it may be.
func (s *sayings) again(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for known, at := range s.when {
		if now.Sub(at) >= sayingsApart {
			delete(s.when, known)
		}
	}
	if _, found := s.when[text]; found || len(s.when) >= sayingsMost {
		return false
	}
	if s.when == nil {
		s.when = map[string]time.Time{}
	}
	s.when[text] = now
	return true
}
