package server

// RepliesHeld returns how many bytes of replies count into the limit of all clients.
func RepliesHeld(s *Server) int64 { return s.repliesHeld.taken.Load() }

// CommandsHeld is that of commands.
func CommandsHeld(s *Server) int64 { return s.commandsHeld.taken.Load() }
