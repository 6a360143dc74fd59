package history

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

var (
	historiesFlag = flag.Int("histories", 20, "how many histories are made")
	seedFlag      = flag.Uint64("seed", 0, "the seed of the first one's operations; 0 is a random one")
)

func TestMain(m *testing.M) { judged.Main(m) }

// Each history is of some clients, which do some operations each.
const (
	clients    = 8
	operations = 40
)

// TestHistoriesAreLinearizable is of clients that read, write, increment and run transactions over three keys.
func TestHistoriesAreLinearizable(t *testing.T) {
	s := judged.Target(t, nil, nil)
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64()
	}
	done, aborted := 0, 0
	for i := range *historiesFlag {
		seed := first + uint64(i)
		h := record(t, s.Address, seed, true)
		result := porcupine.CheckOperationsTimeout(model, h.operations, time.Minute)
		require.Equal(t, porcupine.Ok, result, "go test ./history -histories=1 -seed=%d", seed)
		done, aborted = done+h.done, aborted+h.aborted
	}
	t.Logf("%d histories from seed %d on: %d transactions were done, %d aborted", *historiesFlag, first, done, aborted)
	require.Greater(t, done, *historiesFlag, "transactions are hardly ever done")
	require.Positive(t, aborted, "no transaction met another one, so nothing was shown")
}

// TestHistoriesWithoutWatchAreNot shows that the judge can fail: what WATCH prevents is found.
func TestHistoriesWithoutWatchAreNot(t *testing.T) {
	s := judged.Target(t, nil, nil)
	for seed := range uint64(100) {
		h := record(t, s.Address, seed, false)
		if porcupine.CheckOperationsTimeout(model, h.operations, time.Minute) == porcupine.Illegal {
			return
		}
	}
	t.Fatal("all histories without WATCH were linearizable")
}

// history is one in the making.
type history struct {
	began   time.Time
	watches bool
	keys    [places]string

	mu            sync.Mutex
	operations    []porcupine.Operation
	done, aborted int // Transactions.
}

// record lets clients make a history on keys that nothing else has used.
func record(t *testing.T, address string, seed uint64, watches bool) *history {
	t.Helper()
	h := &history{began: time.Now(), watches: watches}
	for i := range h.keys {
		h.keys[i] = fmt.Sprintf("%d/%t/%d", seed, watches, i)
	}
	var busy sync.WaitGroup
	for number := range clients {
		conn, err := resp.Dial(address)
		require.NoError(t, err)
		busy.Go(func() {
			defer func() { _ = conn.Close() }()
			dice := rand.New(rand.NewPCG(seed, uint64(number)))
			for i := range operations {
				in := random(dice, strconv.Itoa(1_000_000*(number+1)+1000*i))
				if err := h.do(conn, number, in); err != nil {
					t.Errorf("%+v: %v", in, err)
					return
				}
			}
		})
	}
	busy.Wait()
	return h
}

func random(dice *rand.Rand, value string) input {
	kinds := []string{"GET", "GET", "SET", "INCR", "GETSET", "GETDEL", "SETNX", "MGET", "MSET"}
	in := input{kind: transaction, key: dice.IntN(places), value: value}
	in.other = (in.key + 1 + dice.IntN(places-1)) % places
	if dice.IntN(3) > 0 {
		in.kind = kinds[dice.IntN(len(kinds))]
	}
	return in
}

// do does an operation and records it.
func (h *history) do(conn *resp.Conn, number int, in input) error {
	called := time.Since(h.began)
	var out output
	var err error
	if in.kind == transaction {
		out, err = h.transact(conn, in)
	} else {
		out.replies, err = texts(conn, h.command(in))
	}
	if err != nil {
		return err
	}
	returned := time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	if out.aborted {
		h.aborted++
	} else if in.kind == transaction {
		h.done++
	}
	h.operations = append(h.operations, porcupine.Operation{
		ClientId: number, Input: in, Call: int64(called), Output: out, Return: int64(returned),
	})
	return nil
}

// command returns the command of an operation.
func (h *history) command(in input) []string {
	key, other := h.keys[in.key], h.keys[in.other]
	switch in.kind {
	case "SET", "GETSET", "SETNX":
		return []string{in.kind, key, in.value}
	case "MGET":
		return []string{in.kind, key, other}
	case "MSET":
		return []string{in.kind, key, in.value, other, in.value}
	}
	return []string{in.kind, key}
}

// transact runs a transaction: two pipelines.
func (h *history) transact(conn *resp.Conn, in input) (out output, err error) {
	key, other := h.keys[in.key], h.keys[in.other]
	watch := []string{"WATCH", key, other}
	if !h.watches {
		watch = []string{"UNWATCH"}
	}
	read, err := texts(conn, watch, []string{"GET", key}, []string{"GET", other})
	if err != nil {
		return out, err
	}
	replies, err := pipeline(conn, []string{"MULTI"}, []string{"SET", key, in.value}, []string{"INCR", other},
		[]string{"GET", key}, []string{"EXEC"})
	if err != nil {
		return out, err
	}
	out.replies = read[1:]
	exec := replies[len(replies)-1]
	out.aborted = exec.Null
	for _, element := range exec.Elements {
		out.replies = append(out.replies, element.Text)
	}
	return out, nil
}

// texts sends commands, and returns the texts of their replies. The elements of an array come one by one.
func texts(conn *resp.Conn, commands ...[]string) (texts []string, err error) {
	replies, err := pipeline(conn, commands...)
	for _, reply := range replies {
		for _, element := range reply.Elements {
			texts = append(texts, element.Text)
		}
		if len(reply.Elements) == 0 {
			texts = append(texts, reply.Text)
		}
	}
	return texts, err
}

// pipeline sends commands at once. None of them may be refused.
func pipeline(conn *resp.Conn, commands ...[]string) (replies []resp.Reply, err error) {
	for _, command := range commands {
		conn.Put(command...)
	}
	if err := conn.Flush(); err != nil {
		return nil, err
	}
	for _, command := range commands {
		reply, err := conn.Next()
		switch {
		case err != nil:
			return nil, err
		case reply.IsError():
			return nil, fmt.Errorf("%q: %s", command, reply.Text)
		case reply.Null:
			reply.Text = missing
		}
		replies = append(replies, reply)
	}
	return replies, nil
}
