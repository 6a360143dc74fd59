package server

// LimitReplies makes another number of bytes of replies the most that wait for a client that connects from now on.
func (s *Server) LimitReplies(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repliesMax = bytes
}
