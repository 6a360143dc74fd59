package server

import (
	"errors"
	"math"
	"time"
)

// What a session watches in a replicated store is watched where this node leads, or else on the leader. It is lost with the leadership:
// another node may have led since, and have changed a key and changed it back. EXEC answers null then, which is always right.

// isWatching reports whether EXEC depends on what was watched.
func (s *session) isWatching() bool {
	return s.watch.lost || len(s.watch.seen) > 0 || s.watchesThere()
}

// watchesThere reports whether the leader watches for the session.
func (s *session) watchesThere() bool { return s.up != nil && s.up.watching }

// isWatchLost reports whether it isn't known whether a watched key has changed.
func (s *session) isWatchLost() bool {
	cluster := s.server.opts.Cluster
	return s.watch.lost || cluster != nil && len(s.watch.seen) > 0 && cluster.Term() != s.watch.term
}

// watchThere lets the leader watch keys, and answers, where this node isn't to do that itself.
func (s *session) watchThere(c *call) (answered bool) {
	cluster := s.server.opts.Cluster
	if cluster == nil {
		return false
	}
	s.giveUp = time.Time{}
	for {
		term := cluster.Term()
		switch {
		case s.isWatchLost():
			s.watch.lost = true
			c.ok()
			return true
		case term != 0 && !s.watchesThere():
			s.watch.term = term
			return false
		case s.guest:
			s.giveBack()
			return true
		}
		switch err := s.sendWatch(c); {
		case err == nil:
			return true
		case errors.Is(err, errBroken):
			s.watch.lost = true
		case !s.await(c.ctx):
			c.fail(errNoLeader)
			return true
		}
	}
}

// sendWatch sends WATCH to the leader, and takes its reply.
func (s *session) sendWatch(c *call) error {
	up, err := s.reach(c.ctx)
	if err == nil {
		up.add(c.args)
		up.flush()
		err = up.reply(c.reply)
	}
	if err != nil {
		s.hangUp()
		return err
	}
	up.watching = true
	up.rest()
	return nil
}

// unwatchThere ends what the leader watches for the session, and forgets what was lost.
func (s *session) unwatchThere() {
	if s.watchesThere() {
		s.up.add([][]byte{[]byte("UNWATCH")})
		s.up.flush()
		ok := reply{max: math.MaxInt}
		if err := s.up.reply(&ok); err != nil {
			s.hangUp()
		} else {
			s.up.watching = false
			s.up.rest()
		}
	}
	s.watch.lost = false
}
