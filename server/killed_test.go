package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// heldStore is a store whose transactions wait until they may begin.
type heldStore struct {
	*kv.DB
	begins, may chan struct{}
}

// UpdateOffset implements server.Store.
func (h *heldStore) UpdateOffset(ctx context.Context, fn func(tx *kv.Tx) error) (uint64, error) {
	h.begins <- struct{}{}
	<-h.may
	return h.DB.UpdateOffset(ctx, fn)
}

// TestWhatHasArrivedFromAConnectionThatIsClosedDoesNotRun has a pipeline of three groups, of which the first runs.
func TestWhatHasArrivedFromAConnectionThatIsClosedDoesNotRun(t *testing.T) {
	for _, row := range []struct {
		name  string
		close func(srv *server.Server, other *client)
		left  int
	}{
		{"its user is gone", func(srv *server.Server, _ *client) { srv.SetUsers(parseUsers(t, "user other on >o ~* +@all")) }, 1},
		{"it is killed", func(_ *server.Server, other *client) { require.Equal(t, "1", other.words("CLIENT KILL USER app")) }, 1},
		{"the server is closed", func(srv *server.Server, _ *client) { go srv.Close() }, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			db := openStore(t, kv.Options{})
			store := &heldStore{db, make(chan struct{}), make(chan struct{})}
			srv, address := serveStore(t, store, server.Options{Users: parseUsers(t, "user app on >a ~* +@all\nuser other on >o ~* +@all")})
			app, other := dial(t, address), dial(t, address)
			require.Equal(t, "OK", app.words("AUTH app a"))
			require.Equal(t, "OK", other.words("AUTH other o"))
			app.send(encode("INCR", "n") + encode("SELECT", "0") + encode("INCR", "n") + encode("MULTI") + encode("INCR", "n") + encode("EXEC"))
			<-store.begins
			row.close(srv, other)
			require.True(t, app.isClosed())
			close(store.may)
			go func() {
				for range store.begins { // Others that begin may.
				}
			}()
			require.Eventually(t, func() bool { return srv.Stats().Clients == row.left }, time.Minute, time.Millisecond)
			value, err := db.Get([]byte("n"))
			require.NoError(t, err)
			require.Equal(t, "1", string(value), "no command begins any more")
		})
	}
}

func TestAKilledClientDoesNotWaitForTheLeader(t *testing.T) {
	n := newNodes(t)
	c, other, may := n.client(1), n.client(1), make(chan struct{})
	t.Cleanup(func() { close(may) })
	n.all[0].refusal.Store(func() error { <-may; return nil })
	id := c.words("CLIENT ID")
	c.send(encode("SET", "k", "v"))
	require.Eventually(t, func() bool { return n.all[0].commits.Load() == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, "1", other.words("CLIENT KILL ID "+id))
	require.Eventually(t, func() bool { return n.all[1].server.Stats().Clients == 1 }, 10*time.Second, time.Millisecond)
}

// TestWhatRunsForAConnectionThatIsKilledEndsBeforeItsNextCommand kills a connection whose commands wait in the store.
func TestWhatRunsForAConnectionThatIsKilledEndsBeforeItsNextCommand(t *testing.T) {
	for _, row := range []struct {
		name     string
		kept     []string // Between MULTI and EXEC, kept by the session.
		sent     string
		outcomes string // Of key a, b and c.
	}{
		{"an EXEC is refused whole", []string{"SET a 1", "SETBIT b 1 1"}, encode("EXEC"), "[nil nil nil]"},
		{
			"so is a transaction that has arrived whole", nil,
			encode("MULTI") + encode("SET", "a", "1") + encode("GET", "a") + encode("EXEC"), "[nil nil nil]",
		},
		{
			"of a group the command in progress happens alone", nil,
			encode("SET", "a", "1", "GET") + encode("SET", "b", "1", "GET") + encode("SET", "c", "1"), `["1" nil nil]`,
		},
		{
			"what comes before a transaction in its group happens", nil,
			encode("SET", "a", "1", "GET") + encode("MULTI") + encode("SET", "b", "1") + encode("EXEC"), `["1" nil nil]`,
		},
		{"BITOP is refused", nil, encode("BITOP", "OR", "a", "d", "d"), "[nil nil nil]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			db := openStore(t, kv.Options{})
			_, err := db.Put([]byte("d"), []byte("value"))
			require.NoError(t, err)
			store := &heldStore{db, make(chan struct{}), make(chan struct{})}
			srv, address := serveStore(t, store, server.Options{})
			app, other := dial(t, address), dial(t, address)
			id := app.words("CLIENT ID")
			if row.kept != nil {
				app.words("MULTI")
			}
			for _, line := range row.kept {
				require.Equal(t, "QUEUED", app.words(line))
			}
			app.send(row.sent)
			<-store.begins
			require.Equal(t, "1", other.words("CLIENT KILL ID "+id))
			close(store.may)
			go func() {
				for range store.begins { // Others that begin may.
				}
			}()
			require.Eventually(t, func() bool { return srv.Stats().Clients == 1 }, time.Minute, time.Millisecond)
			require.Equal(t, row.outcomes, other.words("MGET a b c"))
		})
	}
}
