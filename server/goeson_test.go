package server

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestWhatTakesLongEndsOnceItsConnectionIsKilled runs commands that look at whether they may go on.
func TestWhatTakesLongEndsOnceItsConnectionIsKilled(t *testing.T) {
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for _, key := range []string{"a", "b"} {
		_, err = db.Put([]byte(key), []byte("value"))
		require.NoError(t, err)
	}
	srv, err := New(db, Options{})
	require.NoError(t, err)
	for name, args := range map[string]string{"keys": "KEYS *", "scan": "SCAN 0", "lcs": "LCS a b"} {
		s := &session{server: srv, out: reply{max: 1 << 20}}
		run := func() {
			c := call{reply: &s.out, session: s, ctx: t.Context(), args: bytes.Fields([]byte(args))}
			s.out.buf = nil
			require.NoError(t, db.View(func(tx *kv.Tx) error {
				c.tx = tx
				srv.commands[name].run(&c)
				return nil
			}))
		}
		run()
		require.NotContains(t, string(s.out.buf), "-ERR", args)
		s.killed.Store(true)
		run()
		require.Equal(t, "-"+failure(errKilled)+"\r\n", string(s.out.buf), args)
		require.ErrorIs(t, s.takeRefusal(), errKilled, "a transaction with it is refused")
	}
}
