package server

// Watches returns how many keys are watched, those of several connections several times.
func Watches(s *Server) int64 { return s.watched.count.Load() }
