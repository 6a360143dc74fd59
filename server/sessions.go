package server

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// SetUsers replaces the users; nil means that everybody may do everything. Connections of users that are gone, or that may do something else
// now, are closed.
func (s *Server) SetUsers(users *Users) {
	users = cmp.Or(users, everybody)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = users
	for session := range s.sessions {
		before := session.user.Load()
		if before == nil {
			continue
		}
		if now := users.same(before); now == nil {
			session.kill()
		} else {
			session.user.Store(now)
		}
	}
}

func (s *Server) currentUsers() *Users {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users
}

// authenticate makes a user of a connection, and reports whether there is one with that name and password.
func (s *Server) authenticate(session *session, name string, password []byte) bool {
	found := s.currentUsers().check(name, password)
	if found == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found = s.users.same(found); found == nil {
		return false // The users have changed since.
	}
	session.become(found)
	return true
}

// becomeStranger makes a connection what it is before AUTH.
func (s *Server) becomeStranger(session *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session.become(s.users.stranger())
}

// becomeNamed makes a guest the user that another node's server has authenticated. If there is no such user here, it may do nothing.
func (s *Server) becomeNamed(guest *session, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.users.named(name)
	if found == nil {
		found = &user{name: name}
	}
	guest.become(found)
}

// each returns the sessions in the order in which they came.
func (s *Server) each() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.sessions), func(a, b *session) int { return cmp.Compare(a.id, b.id) })
}

// limitSilence changes how long clients may be silent, for those that are silent already, too. Zero is no limit.
func (s *Server) limitSilence(limit time.Duration) {
	s.idleTimeout.Store(int64(limit))
	for _, session := range s.each() {
		session.limitSilence()
	}
}
