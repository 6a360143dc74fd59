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
	// MaxReplies is how many bytes the reply of one command may have, and the replies of one transaction, 256 MiB by default. A larger one is
	// an error, and its transaction changes nothing.
	MaxReplies int
	// IdleTimeout is how long a client may be silent, without limit by default. Then its connection is closed. A client that is subscribed
	// may be silent for good.
	IdleTimeout time.Duration
	// MaxMemory is how much memory the store may take, in bytes, without limit by default. What is counted is what lives in the Go heap, which
	// is all of the process: as the last collection found it, with what the store has grown by since. While there is more, commands that may
	// need memory are refused, and others go on.
	MaxMemory int64
	// MaxHeld limits what the server holds for all clients together, in bytes: once for commands that have not run, which are those that have
	// not arrived whole, beyond 16 KiB and 1,024 arguments of each client, those between MULTI and EXEC, watched keys, and channels and patterns
	// that clients listen to; and once for replies and messages that wait to be sent, beyond 1 MiB of each client. Beyond it a connection is
	// closed, or a transaction or a command is refused. The default is a quarter of MaxMemory, at least 192 MiB and at most 1 GiB; without MaxMemory it is
	// 1 GiB.
	MaxHeld int64
	// Users are those that may use the server; by default everybody may do everything. SetUsers replaces them.
	Users *Users
	// SlowerThan is how long a command may take before it gets into the slow log, 10 ms by default; a negative value keeps the log empty.
	// Commands that ran together take the time of all of them.
	SlowerThan time.Duration
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
	o.MaxReplies = cmp.Or(o.MaxReplies, 256<<20)
	o.MaxHeld = cmp.Or(o.MaxHeld, o.defaultHeld())
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Users == nil {
		o.Users = everybody
	}
	o.StaleBound = cmp.Or(o.StaleBound, time.Second)
	o.LeaderWait = cmp.Or(o.LeaderWait, 5*time.Second)
	o.SlowerThan = cmp.Or(o.SlowerThan, 10*time.Millisecond)
	for _, number := range []struct {
		name     string
		value    any
		negative bool
	}{
		{"MaxClients", o.MaxClients, o.MaxClients < 0},
		{"MaxReplies", o.MaxReplies, o.MaxReplies < 0},
		{"IdleTimeout", o.IdleTimeout, o.IdleTimeout < 0},
		{"MaxMemory", o.MaxMemory, o.MaxMemory < 0},
		{"MaxHeld", o.MaxHeld, o.MaxHeld < 0},
		{"StaleBound", o.StaleBound, o.StaleBound < 0},
		{"LeaderWait", o.LeaderWait, o.LeaderWait < 0},
	} {
		if number.negative {
			return o, fmt.Errorf("server: option %s: %v is negative", number.name, number.value)
		}
	}
	return o, nil
}

// Limits of the default of Options.MaxHeld. The least is more than what the largest command takes, with 2^20 arguments.
const (
	heldLeast = 192 << 20
	heldMost  = 1 << 30
)

func (o *Options) defaultHeld() int64 {
	if o.MaxMemory == 0 {
		return heldMost
	}
	return min(max(o.MaxMemory/4, heldLeast), heldMost)
}
