package server

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"
)

// DefaultMaxClients is the default of Options.MaxClients.
const DefaultMaxClients = 10000

// Options say how a server treats its clients. The zero value works.
type Options struct {
	// Logger gets what an operator should know; the default discards it.
	Logger *slog.Logger
	// MaxClients is how many connections there may be, 10,000 by default. One more is answered with an error and closed.
	MaxClients int
	// WriteTimeout is how long a client may take to receive replies that are ready, a minute by default. Then its connection is closed. A
	// client that doesn't read holds up nothing but its own commands.
	WriteTimeout time.Duration
	// MaxReplies is how many bytes of replies one connection may have waiting to be sent, 512 MiB by default. One that asks for more at a
	// time gets an error and is closed.
	MaxReplies int
	// Cluster is what a replicated store adds; nil for a store alone.
	Cluster Cluster
	// StaleBound is how old what a connection reads may be after READONLY, a second by default. It counts with a Cluster alone.
	StaleBound time.Duration
	// LeaderWait is how long a command waits while no leader is known, 5 s by default: longer than an election takes. Then it is refused.
	LeaderWait time.Duration
	// Clock returns the time that commands go by for deadlines; nil is the system's clock. It is for tests, as kv.Options.Clock is, and should
	// be the same.
	Clock func() time.Time
}

// withDefaults returns the options with every zero field set, or an error naming a field out of range.
func (o Options) withDefaults() (Options, error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.MaxClients = cmp.Or(o.MaxClients, DefaultMaxClients)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, time.Minute)
	o.MaxReplies = cmp.Or(o.MaxReplies, 512<<20)
	o.StaleBound = cmp.Or(o.StaleBound, time.Second)
	o.LeaderWait = cmp.Or(o.LeaderWait, 5*time.Second)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	switch {
	case o.MaxClients < 0:
		return o, fmt.Errorf("server: option MaxClients: %d is negative", o.MaxClients)
	case o.MaxReplies < 0:
		return o, fmt.Errorf("server: option MaxReplies: %d is negative", o.MaxReplies)
	case o.StaleBound < 0:
		return o, fmt.Errorf("server: option StaleBound: %v is negative", o.StaleBound)
	case o.LeaderWait < 0:
		return o, fmt.Errorf("server: option LeaderWait: %v is negative", o.LeaderWait)
	}
	return o, nil
}
