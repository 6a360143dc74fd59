//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

var (
	roundsFlag    = flag.Int("rounds", 3, "how often the leader is killed while clients read and write")
	heartbeatFlag = flag.Duration("heartbeat", 400*time.Millisecond, "walnutd's --heartbeat in that test")
	seedFlag      = flag.Uint64("seed", 0, "its seed; 0 is a random one")
)

const (
	historyClients = 8
	historyKeys    = 3
	// lateMax is how long after another node leads a client may have to wait still. Only the heartbeat, and how busy the machine is, say how long
	// an election takes.
	lateMax = 2 * time.Second
)

// The operations of a history.
const (
	opGet    = iota
	opSet    // Gives the key a value that nothing else does.
	opUpdate // Reads the value and appends to it, by WATCH and EXEC.
)

// input is one operation on a key.
type input struct {
	op    int
	key   string
	value string // What is set, or appended.
}

// mark is a key that an operation sets besides what it does: it is there if and only if the operation happened.
func (i input) mark() string { return "mark/" + i.key + "/" + i.value }

// output is what came of it. Of one that is undecided nothing is known: it may have happened at any time since, or may never.
type output struct {
	value     string // What was read.
	undecided bool
}

// register is what each key has to look like: one value that all nodes share.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			byKey[o.Input.(input).key] = append(byKey[o.Input.(input).key], o)
		}
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, in, out any) (bool, any) {
		i, o := in.(input), out.(output)
		switch i.op {
		case opGet:
			return o.value == state, state
		case opSet:
			return true, i.value
		}
		return o.undecided || o.value == state, state.(string) + i.value
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v %+v", in, out) },
}

// round is one history: clients read and write, and the leader is killed in the middle.
type round struct {
	*redisTrio
	prefix string
	began  time.Time

	mu         sync.Mutex
	operations []porcupine.Operation // Done or undecided.
	refused    []input               // Those that must not have happened.
	elected    time.Duration         // How long after the old leader was killed another one led.
	worst      time.Duration         // The longest time between two answers to a client that were no errors.
}

// errUnsent is of a command that no node was sent.
var errUnsent = replyError("no node was asked")

// client does random operations on random nodes until ctx is done.
func (r *round) client(ctx context.Context, number int, dice *rand.Rand) {
	var conn *resp
	answered := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		if conn != nil && dice.IntN(50) == 0 {
			conn.close()
			conn = nil
		}
		in := input{op: dice.IntN(3), key: fmt.Sprint(r.prefix, dice.IntN(historyKeys)), value: fmt.Sprintf("%d-%d ", number, i)}
		called, err := time.Since(r.began), error(errUnsent)
		var out output
		if conn == nil {
			conn, _ = dialRESP(r.redis[names[dice.IntN(len(names))]])
		}
		if conn != nil {
			out, err = operate(conn, in)
		}
		r.note(number, in, called, out, err)
		if err == nil || errors.Is(err, errNull) {
			r.noteGap(time.Since(answered))
			answered = time.Now()
		} else if conn != nil && !errors.As(err, new(replyError)) {
			conn.close()
			conn = nil
		}
		time.Sleep(time.Duration(1+dice.IntN(4)) * time.Millisecond)
	}
	if conn != nil {
		conn.close()
	}
}

// operate does an operation. The error is errNull where a key has changed that was watched.
func operate(conn *resp, in input) (out output, err error) {
	switch in.op {
	case opGet:
		out.value, err = valueOf(conn, in.key)
	case opSet:
		_, err = conn.do([]string{"MSET", in.key, in.value, in.mark(), ""})
	case opUpdate:
		if _, err := conn.do([]string{"WATCH", in.key}); err != nil {
			return out, unsent(err)
		}
		if out.value, err = valueOf(conn, in.key); err != nil {
			return out, unsent(err)
		}
		_, err = conn.do([]string{"MULTI"}, []string{"SET", in.key, out.value + in.value}, []string{"SET", in.mark(), ""}, []string{"EXEC"})
	}
	return out, err
}

// unsent is the error of a transaction that ended before it wrote, however that was.
func unsent(err error) error {
	if errors.As(err, new(replyError)) {
		return err
	}
	return fmt.Errorf("%w: %w", errReadOnly, err)
}

var errReadOnly = errors.New("the connection broke before anything was written")

func valueOf(conn *resp, key string) (string, error) {
	value, err := conn.do([]string{"GET", key})
	if errors.Is(err, errNull) {
		return "", nil
	}
	return value, err
}

// note records what came of an operation.
func (r *round) note(number int, in input, called time.Duration, out output, err error) {
	returned := time.Since(r.began)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil && in.op == opGet:
		return
	case err != nil && isUndecided(err) && !errors.Is(err, errReadOnly):
		out.undecided, returned = true, time.Hour
	case err != nil:
		r.refused = append(r.refused, in)
		return
	}
	r.operations = append(r.operations, porcupine.Operation{
		ClientId: number, Input: in, Call: int64(called), Output: out, Return: int64(returned),
	})
}

func (r *round) noteGap(gap time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.worst = max(r.worst, gap)
}

// settle shows that everything that was acknowledged is in the store, and nothing that was refused. What is undecided is from then on part of
// the history if and only if it has happened by now: that leaves less to try.
func (r *round) settle(conn *resp) (done, undecided int) {
	happened := func(in input) bool {
		got, err := conn.do([]string{"EXISTS", in.mark()})
		require.NoError(r.t, err)
		return got == "1"
	}
	r.operations = slices.DeleteFunc(r.operations, func(o porcupine.Operation) bool {
		in, out := o.Input.(input), o.Output.(output)
		switch {
		case out.undecided:
			undecided++
			return !happened(in)
		case in.op != opGet:
			require.True(r.t, happened(in), "%+v was acknowledged, and is lost", in)
			done++
		}
		return false
	})
	for _, in := range r.refused {
		require.False(r.t, happened(in), "%+v was refused, and happened", in)
	}
	return done, undecided
}

// TestClientsGoOnWhenTheLeaderIsKilled lets clients read and write through all nodes, plainly, and kills the leader again and again. What was
// acknowledged happened once, what was refused didn't, each read shows the newest, and no client waits for long once another node leads.
func TestClientsGoOnWhenTheLeaderIsKilled(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test -run ClientsGoOn ./walnutd -rounds=%d -heartbeat=%v -seed=%d", *roundsFlag, *heartbeatFlag, seed)
	c := newRedisTrio(t)
	processes := map[string]*exec.Cmd{}
	start := func(name string) {
		processes[name], _ = c.process(name, "--heartbeat", heartbeatFlag.String(), "--lease", (*heartbeatFlag * 3 / 4).String())
	}
	for _, name := range names {
		start(name)
	}
	for _, name := range names {
		c.waitReady(name)
	}
	for i := range *roundsFlag {
		r := &round{redisTrio: c, prefix: fmt.Sprintf("%d/%d/", seed, i), began: time.Now()}
		killed := r.run(seed+uint64(i), func(name string) {
			require.NoError(t, processes[name].Process.Kill())
			_ = processes[name].Wait() // It was killed.
		})
		start(killed)
		for _, name := range names {
			c.waitReady(name)
		}
		r.judge()
	}
}

// run lets clients work, and kills the leader meanwhile.
func (r *round) run(seed uint64, kill func(name string)) (killed string) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var clients sync.WaitGroup
	for number := range historyClients {
		clients.Go(func() { r.client(ctx, number, rand.New(rand.NewPCG(seed, uint64(number)))) })
	}
	dice := rand.New(rand.NewPCG(seed, 100))
	time.Sleep(time.Duration(300+dice.IntN(700)) * time.Millisecond)
	waitUntil(r.t, func() bool {
		s, err := r.trio.client(names[dice.IntN(len(names))]).Status(soon(r.t))
		killed = s.Leader
		return err == nil && killed != ""
	}, new(string))
	kill(killed)
	dead := time.Now()
	other := names[(slices.Index(names, killed)+1)%len(names)]
	waitUntil(r.t, func() bool {
		s, err := r.trio.client(other).Status(soon(r.t))
		return err == nil && s.Leader != "" && s.Leader != killed
	}, new(string))
	r.elected = time.Since(dead)
	time.Sleep(time.Duration(500+dice.IntN(500)) * time.Millisecond)
	cancel()
	clients.Wait()
	return killed
}

// judge judges the history, with what all nodes show in the end.
func (r *round) judge() {
	for number, name := range names {
		conn := r.dial(name)
		for key := range historyKeys {
			in, called := input{op: opGet, key: fmt.Sprint(r.prefix, key)}, time.Since(r.began)
			out, err := operate(conn, in)
			require.NoError(r.t, err)
			r.note(historyClients+number, in, called, out, nil)
		}
	}
	done, undecided := r.settle(r.dial(names[0]))
	r.t.Logf("%d operations, %d writes done, %d undecided, %d refused; another node led after %v, the longest wait of a client was %v",
		len(r.operations), done, undecided, len(r.refused), r.elected.Round(time.Millisecond), r.worst.Round(time.Millisecond))
	require.Equal(r.t, porcupine.Ok, porcupine.CheckOperationsTimeout(register, r.operations, time.Minute))
	require.Greater(r.t, done, historyClients, "on a busy machine there may be few")
	require.Less(r.t, r.worst, r.elected+lateMax)
}
