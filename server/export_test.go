package server

// ReplicationInfo is for tests.
func ReplicationInfo(s *Server) string {
	var page infoPage
	infoReplication(&page, s)
	return page.String()
}
