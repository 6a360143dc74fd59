package server_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// step is a line that a client sends, with words that may be quoted, and the reply to it.
type step struct{ send, want string }

// follow sends the lines one after another.
func (c *client) follow(steps ...step) {
	c.t.Helper()
	for _, s := range steps {
		c.send(s.send + "\r\n")
		require.Equal(c.t, s.want, c.reply(), "the reply to %s", s.send)
	}
}

// scene is what happens on a new store, and the sentence that it shows.
type scene struct {
	name  string
	steps []step
}

func play(t *testing.T, scenes []scene) {
	t.Helper()
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) { newClient(t).follow(s.steps...) })
	}
}
