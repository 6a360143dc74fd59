package server

// ReplicationInfo is for tests.
func ReplicationInfo(s *Server) string { return s.replicationInfo() }
