package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

func TestAValueIsReplacedOnlyIfItIsTheOldOne(t *testing.T) {
	db, c := fiveFruits(t)
	at := time.Now().Add(time.Hour)
	var b kv.Batch
	b.PutDeadline([]byte("lease"), []byte("me"), at)
	_, err := db.Apply(&b)
	require.NoError(t, err)
	require.Equal(t, "0", c.words("KV.CAS lease you 1"))
	require.Equal(t, "0", c.words("KV.CAS nothing 1 2"))
	require.Equal(t, "1", c.words("KV.CAS lease me you"))
	require.NoError(t, db.View(func(tx *kv.Tx) error {
		deadline, err := tx.Deadline([]byte("lease"))
		require.WithinDuration(t, at, deadline, 0)
		return err
	}))
	require.Equal(t, "0", c.words("KV.CAS lease me"))
	require.Equal(t, "1", c.words("KV.CAS lease you"))
	require.Equal(t, "nil", c.words("GET lease"))
	require.Equal(t, "-ERR wrong number of arguments for 'kv.cas' command", c.words("KV.CAS a b c d"))
}

func TestTheOffsetHasTheWritesBeforeItInThePipeline(t *testing.T) {
	db, c := fiveFruits(t)
	c.send(encode("SET", "a", "1") + encode("KV.OFFSET") + encode("SET", "a", "2"))
	require.Equal(t, "OK 6 OK", c.reply()+" "+c.reply()+" "+c.reply())
	require.EqualValues(t, 7, db.Offset())
	require.Equal(t, "OK", c.words("MULTI"))
	require.Equal(t, "QUEUED", c.words("KV.OFFSET"))
	require.Equal(t, "[7]", c.words("EXEC"))
}

func TestThePastIsRead(t *testing.T) {
	_, c := fiveFruits(t)
	require.Equal(t, "OK", c.words("SET fig new"))
	for _, test := range []struct{ name, command, want string }{
		{"a value that was replaced", "KV.AT 5 GET fig", `"f"`},
		{"the value now", "KV.AT 6 GET fig", `"new"`},
		{"a pair that wasn't there yet", "KV.AT 1 GET fig", "nil"},
		{"a range", "KV.AT 3 RANGE b z KEYS", `["fig" "kiwi"]`},
		{"a prefix", "KV.AT 5 PREFIX f", `["fig" "f"]`},
		{"another command", "KV.AT 5 SET a b", "-ERR syntax error"},
		{"a range without an end", "KV.AT 5 RANGE a", "-ERR syntax error"},
		{"no offset", "KV.AT x GET a", "-ERR value is not an integer or out of range"},
		{"what is to come", "KV.AT 7 GET a", "-ERR kv: state at 7: wal: offset is past the end of the log: the last offset is 6"},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, c.words(test.command)) })
	}
	require.Equal(t, "OK", c.words("MULTI"))
	require.Equal(t, "-ERR KV.AT inside MULTI is not allowed", c.words("KV.AT 5 GET fig"))
	require.Equal(t, "[]", c.words("EXEC"))
}

func TestAPastThatIsHeldNoLongerIsAnErrorWithItsCode(t *testing.T) {
	db := openStore(t, kv.Options{SegmentSize: 64 << 10})
	for range 4 {
		_, err := db.Put([]byte("k"), make([]byte, 100<<10))
		require.NoError(t, err)
		_, err = db.Checkpoint(t.Context())
		require.NoError(t, err)
	}
	_, address := serveStore(t, db, server.Options{})
	require.Contains(t, dial(t, address).words("KV.AT 1 GET k"), "-TRUNCATED kv: state at 1: ")
}

func TestClientsThatCompareAndSetLoseNothing(t *testing.T) {
	db := openDisk(t, kv.Options{})
	_, address := serveStore(t, db, server.Options{})
	require.Equal(t, "OK", dial(t, address).words("SET n 0"))
	const clients, each = 8, 20
	var running sync.WaitGroup
	for range clients {
		c := dial(t, address)
		running.Go(func() {
			for done := 0; done < each; {
				var n int
				_, _ = fmt.Sscanf(c.words("GET n"), `"%d"`, &n)
				if c.do("KV.CAS", "n", fmt.Sprint(n), fmt.Sprint(n+1)) == "1" {
					done++
				}
			}
		})
	}
	running.Wait()
	require.Equal(t, fmt.Sprintf(`"%d"`, clients*each), dial(t, address).words("GET n"))
}

// slowPast makes past states once it may.
type slowPast struct {
	*kv.DB
	may context.Context
}

func (s slowPast) At(ctx context.Context, offset uint64) (*kv.ReadView, error) {
	<-s.may.Done()
	return s.DB.At(ctx, offset)
}

// TestAClientThatIsGoneWaitsForNoPastState has more that are killed. One client gets a state meanwhile.
func TestAClientThatIsGoneWaitsForNoPastState(t *testing.T) {
	may, let := context.WithCancel(t.Context())
	defer let()
	store := slowPast{openStore(t, kv.Options{}), may}
	srv, address := serveStore(t, store, server.Options{})
	first := dial(t, address)
	first.send(encode("KV.AT", "0", "GET", "k"))
	require.Eventually(t, func() bool { return running("inThePast") == 1 }, 10*time.Second, time.Millisecond)
	var all []*client
	for range 6 {
		c := dial(t, address)
		c.send(encode("KV.AT", "0", "GET", "k"))
		all = append(all, c)
	}
	require.Eventually(t, func() bool { return running("inThePast") == 7 }, 10*time.Second, time.Millisecond)
	for _, c := range all[:3] {
		require.NoError(t, c.conn.Close())
	}
	require.Eventually(t, func() bool { return srv.Stats().Clients == 4 }, 10*time.Second, time.Millisecond)
	for _, c := range all[3:] {
		require.Equal(t, "1", dial(t, address).do("CLIENT", "KILL", "ADDR", c.conn.LocalAddr().String()))
	}
	require.Eventually(t, func() bool { return running("inThePast") == 1 }, 10*time.Second, time.Millisecond)
	let()
	require.Equal(t, "nil", first.reply())
	require.Equal(t, "nil", first.words("KV.AT 0 GET k"))
}
