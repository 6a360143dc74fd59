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
	if o.Clock == nil {
		o.Clock = time.Now
	}
	switch {
	case o.MaxClients < 0:
		return o, fmt.Errorf("server: option MaxClients: %d is negative", o.MaxClients)
	case o.MaxReplies < 0:
		return o, fmt.Errorf("server: option MaxReplies: %d is negative", o.MaxReplies)
	}
	return o, nil
}
