package server_test

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// TestEveryCommandOfAPipelineIsAnsweredAsIfItHadComeAlone compares pipelines, which arrive in pieces, with their commands one by one on
// another store. Commits are refused for their size and by an index, and replies for theirs. Clients write beside each other, each its keys.
func TestEveryCommandOfAPipelineIsAnsweredAsIfItHadComeAlone(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	refusing := kv.Index{Name: "refuses", Keys: func(_, value []byte) iter.Seq[[]byte] {
		if strings.HasPrefix(string(value), "refuse") {
			panic("it refuses")
		}
		return nil
	}}
	opts := kv.Options{MaxCommitSize: 4000, Indexes: []kv.Index{refusing}}
	limits := server.Options{MaxReplies: 6000, SlowerThan: -1}
	srv, whole := serveStore(t, openStore(t, opts), limits)
	_, alone := serveStore(t, openStore(t, opts), limits)
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	var clients sync.WaitGroup
	for number := range 4 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(number)))
			for range rounds {
				comparePipeline(t, random, fmt.Sprint(number), dial(t, whole), dial(t, alone))
			}
		})
	}
	clients.Wait()
	held := func() int64 { return server.CommandsHeld(srv) + server.RepliesHeld(srv) + server.Watches(srv) }
	require.Eventually(t, func() bool { return held() == 0 }, 10*time.Second, time.Millisecond, "nothing is left of them")
}

// comparePipeline sends commands to one client at once, and to another one by one.
func comparePipeline(t *testing.T, random *rand.Rand, prefix string, whole, alone *client) {
	var sent strings.Builder
	var lines, want []string
	muted, skips := false, false
	add := func(line string) {
		words := strings.Fields(line)
		sent.WriteString(encode(words...))
		lines = append(lines, line)
		switch line {
		case "CLIENT REPLY OFF":
			muted, skips = true, false
			return
		case "CLIENT REPLY SKIP":
			skips = !muted
			return
		case "CLIENT REPLY ON":
			muted, skips = false, false
			want = append(want, "OK")
			return
		}
		if reply := alone.do(words...); !muted && !skips {
			want = append(want, reply)
		}
		skips = false
	}
	inMulti := false
	for range 1 + random.IntN(120) {
		line := randomLine(random, prefix)
		switch word := strings.Fields(line)[0]; {
		case strings.HasPrefix(line, "CLIENT REPLY") && inMulti:
			continue
		case word == "MULTI":
			inMulti = true
		case word == "EXEC" || word == "DISCARD" || word == "RESET":
			inMulti = false
			if word == "RESET" {
				muted, skips = false, false
			}
		}
		add(line)
	}
	if inMulti {
		add("EXEC")
	}
	add("CLIENT REPLY ON")
	add("ECHO end")
	go sendInPieces(whole, rand.New(rand.NewPCG(random.Uint64(), 0)), sent.String())
	for i, reply := range want {
		got, err := whole.read()
		if err != nil || refusalOf(got) != refusalOf(reply) {
			t.Errorf("reply %d: got %q (%v), want %q, of\n%s", i, got, err, reply, strings.Join(lines, "\n"))
			return
		}
	}
	_, _ = whole.conn.Close(), alone.conn.Close()
}

// refusalOf leaves out of a reply whether a commit was refused or a write in it, which depends on what came with it.
func refusalOf(reply string) string {
	if strings.HasPrefix(reply, "-ERR kv: ") {
		return fmt.Sprint("refused by an index: ", strings.Contains(reply, "indexed"))
	}
	return reply
}

// sendInPieces cuts bytes at random places.
func sendInPieces(c *client, random *rand.Rand, bytes string) {
	for len(bytes) > 0 {
		n := min(len(bytes), 1+random.IntN(1+random.IntN(4000)))
		if _, err := c.conn.Write([]byte(bytes[:n])); err != nil {
			return
		}
		bytes = bytes[n:]
		if random.IntN(8) == 0 {
			time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
		}
	}
}

// randomLine returns a command on keys with a prefix, or on none.
func randomLine(random *rand.Rand, prefix string) string {
	key := func() string { return fmt.Sprint(prefix, ":", random.IntN(6)) }
	value := func() string {
		switch random.IntN(8) {
		case 0:
			return "refuse"
		case 1:
			return strings.Repeat("x", 700+random.IntN(1500))
		case 2, 3:
			return fmt.Sprint(random.IntN(100))
		}
		return strings.Repeat("y", 1+random.IntN(20))
	}
	switch random.IntN(30) {
	case 0, 1, 2, 3:
		return "SET " + key() + " " + value()
	case 4, 5:
		return "GET " + key()
	case 6:
		return "MGET " + key() + " " + key() + " " + key() + " " + key() + " " + key()
	case 7:
		return "INCR " + key()
	case 8:
		return "APPEND " + key() + " " + value()
	case 9:
		return "DEL " + key() + " " + key()
	case 10:
		return "MSET " + key() + " 1 " + key() + " " + value() // One that is refused marks the first key in any case.
	case 11:
		return "KV.PREFIX " + prefix + ":"
	case 12:
		return "KV.DELRANGE " + key() + " " + key()
	case 13:
		return "GETSET " + key() + " " + value()
	case 14:
		return "SET " + key() + " " + value() + " " + []string{"NX", "XX", "GET", "KEEPTTL", "EX", "NOPE"}[random.IntN(6)]
	case 15:
		return "RENAME " + key() + " " + key()
	case 16:
		return "WATCH " + key()
	case 17, 18:
		return "MULTI"
	case 19, 20, 21:
		return "EXEC"
	case 22:
		return []string{"DISCARD", "UNWATCH", "SELECT 0", "SELECT 1", "RESET"}[random.IntN(5)]
	case 23:
		return "CLIENT REPLY " + []string{"ON", "OFF", "SKIP", "SKIP"}[random.IntN(4)]
	case 24:
		return []string{"NOPE", "GET", "SET a", "PING", "ECHO " + value()}[random.IntN(5)]
	case 25:
		return []string{"CLIENT GETNAME", "COMMAND COUNT", "SUBSTR " + key() + " 0 5"}[random.IntN(3)]
	case 26:
		return "BITOP OR " + key() + " " + key() + " " + key()
	case 27:
		return "SETRANGE " + key() + " " + fmt.Sprint(random.IntN(2500)) + " z"
	case 28:
		return "KV.CAS " + key() + " " + value() + " " + value()
	}
	return "STRLEN " + key()
}
