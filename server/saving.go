package server

import (
	"context"
	"time"
)

// serverCommands are about the server.
var serverCommands = []command{
	{name: "info", arity: -1, class: anywhere, run: info, always: confined},
	{name: "time", arity: 1, class: anywhere, run: timeNow, always: confined},
	{name: "lastsave", arity: 1, class: anywhere, run: lastSave, admin: true},
	{name: "save", arity: 1, class: onSession, run: save, admin: true, alone: true},
	{name: "bgsave", arity: -1, class: onSession, run: saveLater, admin: true},
	slowLogCommand,
}

func timeNow(c *call) {
	now := c.now
	c.array(2)
	c.text(string(appendInt(nil, now.Unix())))
	c.text(string(appendInt(nil, int64(now.Nanosecond()/1000))))
}

func lastSave(c *call) { c.integer(c.session.server.lastSaved().Unix()) }

// lastSaved returns when the last checkpoint ended. Before the first one it is when the server began, as Redis has it.
func (s *Server) lastSaved() time.Time {
	if last := s.store.Stats().Checkpoints.LastTime; !last.IsZero() {
		return last
	}
	return s.started
}

// save takes a checkpoint. Others go on meanwhile.
func save(c *call) {
	if _, err := c.session.server.store.Checkpoint(c.ctx); err != nil {
		c.fail(failure(err))
		return
	}
	c.ok()
}

// saveLater begins to take a checkpoint.
func saveLater(c *call) {
	s := c.session.server
	switch {
	case len(c.args) > 2, len(c.args) == 2 && !is(c.args[1], "schedule"):
		c.fail(errSyntax)
		return
	case !s.saving.CompareAndSwap(false, true):
		c.fail("ERR Background save already in progress")
		return
	}
	ctx := c.ctx
	s.running.Go(func() { s.checkpoint(ctx) })
	c.simple("Background saving started")
}

func (s *Server) checkpoint(ctx context.Context) {
	defer s.saving.Store(false)
	if _, err := s.store.Checkpoint(ctx); err != nil {
		s.opts.Logger.Error("checkpoint failed", "error", err)
	}
}
