package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

var (
	historiesFlag = flag.Int("histories", 3, "how many histories the test of linearizability makes")
	seedFlag      = flag.Uint64("seed", 0, "the seed of its first one; 0 is a random one")
)

// The operations of a history.
const (
	opGet    = iota
	opPut    // Gives the key a value that nothing else does.
	opUpdate // Reads the value and appends to it, in one transaction.
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

// past is a history in the making.
type past struct {
	*trio
	began time.Time
	open  sync.RWMutex // Held for writing while a node is closed or opened.

	mu         sync.Mutex
	operations []porcupine.Operation
}

// client does random operations on random nodes until ctx is done.
func (p *past) client(ctx context.Context, number int, dice *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		in := input{op: dice.IntN(3), key: string(rune('x' + dice.IntN(2))), value: fmt.Sprintf("%d-%d ", number, i)}
		name := p.names[dice.IntN(len(p.names))]
		p.open.RLock()
		node := p.nodes[name]
		p.open.RUnlock()
		if node == nil {
			continue
		}
		called := time.Since(p.began)
		out, err := do(ctx, node, in)
		returned := time.Since(p.began)
		switch {
		case errors.Is(err, kv.ErrUndecided):
			out.undecided, returned = true, time.Hour
		case err != nil: // It was refused, so it must not have happened.
			time.Sleep(time.Millisecond)
			continue
		}
		p.mu.Lock()
		p.operations = append(p.operations, porcupine.Operation{
			ClientId: number, Input: in, Call: int64(called), Output: out, Return: int64(returned),
		})
		p.mu.Unlock()
		time.Sleep(time.Duration(dice.IntN(4)) * time.Millisecond)
	}
}

// do does an operation on a node.
func do(ctx context.Context, node *Cluster, in input) (out output, err error) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	key := []byte(in.key)
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
	case opPut:
		var b kv.Batch
		b.Put(key, []byte(in.value))
		_, err = node.DB().ApplyContext(ctx, &b)
	case opUpdate:
		err = node.DB().UpdateContext(ctx, func(tx *kv.Tx) error {
			if err := read(tx.Get); err != nil {
				return err
			}
			return tx.Put(key, []byte(out.value+in.value))
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
	p := &past{trio: newTrio(t), began: time.Now()}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var clients sync.WaitGroup
	for number := range 6 {
		clients.Go(func() { p.client(ctx, number, rand.New(rand.NewPCG(seed, uint64(number)))) })
	}
	p.trouble(ctx, rand.New(rand.NewPCG(seed, 100)))
	clients.Wait()
	for number, name := range p.names { // What all nodes show in the end belongs to it.
		for _, key := range []string{"x", "y"} {
			called := time.Since(p.began)
			require.NoError(t, p.nodes[name].Linearizable(soon(t)))
			out, err := do(soon(t), p.nodes[name], input{op: opGet, key: key})
			require.NoError(t, err)
			p.operations = append(p.operations, porcupine.Operation{
				ClientId: 100 + number, Input: input{op: opGet, key: key}, Call: int64(called), Output: out, Return: int64(time.Since(p.began)),
			})
		}
	}
	p.requireAlike()
	result := porcupine.CheckOperationsTimeout(register, p.operations, time.Minute)
	undecided := 0
	for _, o := range p.operations {
		if o.Output.(output).undecided {
			undecided++
		}
	}
	t.Logf("%d operations, %d of them undecided: %s", len(p.operations), undecided, result)
	require.Equal(t, porcupine.Ok, result)
	require.Greater(t, len(p.operations), 20, "on a busy machine there may be few")
}
