package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

var (
	historiesFlag = flag.Int("histories", 2, "how many histories the test of linearizability makes")
	seedFlag      = flag.Uint64("seed", 0, "the seed of its first one; 0 is a random one")
)

// The operations of a history.
const (
	opGet    = iota
	opPut    // Gives the key a value that nothing else does.
	opUpdate // Reads the value and appends to it, in one transaction.
	opSet    // Gives the key a value and leaves no mark. No history has it.
)

// input is one operation on a key.
type input struct {
	op    int
	key   string
	value string // What is put, or appended.
}

// output is what came of it. Of one that is undecided nothing is known: it may have happened at any time since, or may never.
type output struct {
	value     string // What was read.
	undecided bool
}

// register is what each key has to look like: one value that all nodes share.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			byKey[o.Input.(input).key] = append(byKey[o.Input.(input).key], o)
		}
		var parts [][]porcupine.Operation
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
		case opPut:
			return true, i.value
		}
		return o.undecided || o.value == state, state.(string) + i.value
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v %+v", in, out) },
}

// mark is a key that an operation puts besides what it does: it is there if and only if the operation happened.
func (i input) mark() string { return "mark/" + i.key + "/" + i.value }

// record is a history in the making.
type record struct {
	began time.Time

	mu         sync.Mutex
	operations []porcupine.Operation // Done or undecided.
	refused    []input               // Those that must not have happened.
}

// client does random operations on random nodes until ctx is done. Keys have a prefix.
func (r *record) client(
	ctx context.Context, number int, dice *rand.Rand, prefix string, names []string, do func(name string, in input) (output, error),
) {
	for i := 0; ctx.Err() == nil; i++ {
		in := input{op: dice.IntN(3), key: prefix + string(rune('x'+dice.IntN(2))), value: fmt.Sprintf("%d-%d ", number, i)}
		name, called := names[dice.IntN(len(names))], time.Since(r.began)
		out, err := do(name, in)
		if r.note(number, in, called, out, err); err != nil {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(dice.IntN(4)) * time.Millisecond)
	}
}

// note records what came of an operation.
func (r *record) note(number int, in input, called time.Duration, out output, err error) {
	returned := time.Since(r.began)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil && in.op == opGet:
		return
	case errors.Is(err, kv.ErrUndecided):
		out.undecided, returned = true, time.Hour
	case err != nil:
		r.refused = append(r.refused, in)
		return
	}
	r.operations = append(r.operations, porcupine.Operation{
		ClientId: number, Input: in, Call: int64(called), Output: out, Return: int64(returned),
	})
}

// requireHappened shows that everything that was acknowledged is among the pairs of a node, and nothing that was refused. What is undecided
// is from then on part of the history if and only if it has happened by now: that leaves less to try.
func (r *record) requireHappened(t testing.TB, pairs map[string]string) (done, undecided int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations = slices.DeleteFunc(r.operations, func(o porcupine.Operation) bool {
		in, out := o.Input.(input), o.Output.(output)
		_, happened := pairs[in.mark()]
		switch {
		case out.undecided:
			undecided++
			return !happened
		case in.op != opGet:
			require.True(t, happened, "%+v was acknowledged, and is lost", in)
			done++
		}
		return false
	})
	for _, in := range r.refused {
		require.NotContains(t, pairs, in.mark(), "%+v was refused, and happened", in)
	}
	return done, undecided
}

// requireLinearizable shows that all that happened could have happened in one order.
func (r *record) requireLinearizable(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(register, r.operations, time.Minute))
}

// past is a history of the nodes in this process.
type past struct {
	*trio
	record
	open sync.RWMutex // Held for writing while a node is closed or opened.
}

var errGone = errors.New("the node is closed")

// do does an operation on a node, if it is open.
func (p *past) do(name string, in input) (output, error) {
	p.open.RLock()
	node := p.nodes[name]
	p.open.RUnlock()
	if node == nil {
		return output{}, errGone
	}
	return do(p.t.Context(), node, in)
}

// do does an operation on a node.
func do(ctx context.Context, node *Cluster, in input) (out output, err error) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	key, mark := []byte(in.key), []byte(in.mark())
	read := func(get func([]byte) ([]byte, error)) error {
		value, err := get(key)
		out.value = string(value)
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		return err
	}
	switch in.op {
	case opGet:
		if err = node.Linearizable(ctx); err == nil {
			err = read(node.DB().Get)
		}
	case opPut, opSet:
		var b kv.Batch
		b.Put(key, []byte(in.value))
		if in.op == opPut {
			b.Put(mark, nil)
		}
		_, err = node.DB().ApplyContext(ctx, &b)
	case opUpdate:
		err = node.DB().UpdateContext(ctx, func(tx *kv.Tx) error {
			if err := read(tx.Get); err != nil {
				return err
			}
			return errors.Join(tx.Put(key, []byte(out.value+in.value)), tx.Put(mark, nil))
		})
	}
	return out, err
}

// trouble makes trouble until ctx is done: cuts, restarts, transfers. One node at a time is in trouble.
func (p *past) trouble(ctx context.Context, dice *rand.Rand) {
	for ctx.Err() == nil {
		name := p.names[dice.IntN(len(p.names))]
		switch dice.IntN(4) {
		case 0, 1:
			p.net.isolate(name, true)
			pause(ctx, dice, 700)
			p.net.isolate(name, false)
		case 2:
			p.open.Lock()
			node := p.nodes[name]
			p.nodes[name] = nil
			p.open.Unlock()
			if err := node.Close(); err != nil {
				p.t.Errorf("close %s: %v", name, err)
			}
			pause(ctx, dice, 300)
			again, err := Open(context.Background(), filepath.Join(p.dir, name), p.options(name))
			if err != nil {
				p.t.Errorf("open %s: %v", name, err)
				return
			}
			p.net.mu.Lock()
			p.net.targets[name] = again.port.listener.Addr().String()
			p.net.mu.Unlock()
			p.open.Lock()
			p.nodes[name] = again
			p.open.Unlock()
		case 3:
			limited, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			_ = p.nodes[name].Transfer(limited, "")
			cancel()
		}
		pause(ctx, dice, 300)
	}
}

// pause waits for up to some milliseconds.
func pause(ctx context.Context, dice *rand.Rand, most int) {
	select {
	case <-time.After(time.Duration(dice.IntN(most)) * time.Millisecond):
	case <-ctx.Done():
	}
}

// TestHistoriesAreLinearizable lets clients put, update and read through all nodes, while nodes are cut off, restarted, and made leaders.
// What was acknowledged happened once, what was refused didn't, and each read shows the newest.
func TestHistoriesAreLinearizable(t *testing.T) {
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64()
	}
	for i := range *historiesFlag {
		seed := first + uint64(i)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			makeHistory(t, seed)
			if t.Failed() {
				t.Logf("go test -race -run TestHistories . -histories=1 -seed=%d", seed)
			}
		})
	}
}

func makeHistory(t *testing.T, seed uint64) {
	p := &past{trio: newTrio(t), record: record{began: time.Now()}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var clients sync.WaitGroup
	for number := range 6 {
		clients.Go(func() { p.client(ctx, number, rand.New(rand.NewPCG(seed, uint64(number))), "", p.names, p.do) })
	}
	p.trouble(ctx, rand.New(rand.NewPCG(seed, 100)))
	clients.Wait()
	for number, name := range p.names { // What all nodes show in the end belongs to it.
		for _, key := range []string{"x", "y"} {
			called := time.Since(p.began)
			require.NoError(t, p.nodes[name].Linearizable(soon(t)))
			in := input{op: opGet, key: key}
			out, err := p.do(name, in)
			require.NoError(t, err)
			p.note(100+number, in, called, out, nil)
		}
	}
	done, undecided := p.requireHappened(t, p.requireAlike())
	t.Logf("%d operations, %d commits done, %d undecided, %d refused", len(p.operations), done, undecided, len(p.refused))
	p.requireLinearizable(t)
	require.Greater(t, len(p.operations), 20, "on a busy machine there may be few")
}
