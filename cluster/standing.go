package cluster

import "sync"

// standing is whether this node is a member, as far as it matters to the operator: why it was refused, or that it was removed. The zero value
// knows of nothing.
type standing struct {
	mu  sync.Mutex
	why error
}

// set notes why the node isn't a member; nil where it is, or may be.
func (s *standing) set(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = why
}

// err returns why the node isn't a member, nil where nothing is known.
func (s *standing) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}
