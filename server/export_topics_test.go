package server

// Topics returns how many entries the table of channels and patterns has, with those that can have events counted once more.
func Topics(s *Server) int {
	s.topics.mu.Lock()
	defer s.topics.mu.Unlock()
	t := &s.topics
	return len(t.channels) + len(t.patterns) + len(t.starts) + t.events.topics
}
