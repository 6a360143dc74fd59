//go:build unix

package cluster

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	processFlag = flag.Int("processes", 4, "how many histories of processes are made")
	lengthFlag  = flag.Duration("length", 2*time.Second, "how long each of them takes, besides its end")
)

// histories of one cluster, before another one begins.
const historiesOfOne = 10

// TestHistoriesOfProcessesAreLinearizable lets clients put, update and read through three processes, which are killed, stopped and cut off,
// and whose disks are full, hang and fail, while the leadership and the members change. After each history all nodes have the same pairs.
func TestHistoriesOfProcessesAreLinearizable(t *testing.T) {
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64()
	}
	for from := 0; from < *processFlag && !t.Failed(); from += historiesOfOne {
		seed := first + uint64(from)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			f := newFleet(t, func(*plan) {})
			count := min(historiesOfOne, *processFlag-from)
			done := 0
			for i := range count {
				done += f.history(seed + uint64(i))
			}
			require.Greater(t, done, 5*count, "commits, of which there are few while most is ill")
			if t.Failed() {
				t.Logf("go test -race -run HistoriesOfProcesses . -processes=%d -seed=%d", count, seed)
			}
		})
	}
}

// history makes one, and judges it. It returns how many commits were done.
func (f *fleet) history(seed uint64) int {
	f.t.Helper()
	r := &record{began: time.Now()}
	prefix := fmt.Sprint(seed, "/")
	ctx, cancel := context.WithTimeout(f.t.Context(), *lengthFlag)
	defer cancel()
	var busy sync.WaitGroup
	for number := range 6 {
		busy.Go(func() {
			v := f.visitor()
			defer v.leave()
			r.client(ctx, number, rand.New(rand.NewPCG(seed, uint64(number))), prefix, f.names, v.do)
		})
	}
	sick := newIllness(f, rand.New(rand.NewPCG(seed, 100)))
	sick.spread(ctx)
	busy.Wait()
	sick.heal()
	v := f.visitor()
	defer v.leave()
	for number, name := range f.names { // What all nodes show in the end belongs to it.
		for _, key := range []string{"x", "y"} {
			in, called := input{op: opGet, key: prefix + key}, time.Since(r.began)
			out, err := output{}, error(nil)
			waitUntil(f.t, func() bool {
				called = time.Since(r.began)
				out, err = v.do(name, in)
				return err == nil
			})
			r.note(100+number, in, called, out, nil)
		}
	}
	pairs := f.requireAlike()
	done, undecided := r.requireHappened(f.t, pairs)
	f.t.Logf("%d operations, %d commits done, %d undecided, %d refused; %v", len(r.operations), done, undecided, len(r.refused), sick.counts)
	r.requireLinearizable(f.t)
	return done
}

// requireAlike shows that all nodes of the first three hold the same pairs, and returns them. What is undecided may still happen, so it
// looks at them until they show the same entry.
func (f *fleet) requireAlike() map[string]string {
	f.t.Helper()
	v := f.visitor()
	defer v.leave()
	var replies []reply
	waitUntil(f.t, func() bool {
		replies = nil
		for _, name := range f.names {
			a, err := v.ask(name, request{Op: "pairs", Limit: 5 * time.Second})
			if err != nil || len(replies) > 0 && a.Known.Offset != replies[0].Known.Offset {
				return false
			}
			replies = append(replies, a)
		}
		return true
	})
	for i, a := range replies {
		require.Equal(f.t, replies[0].Pairs, a.Pairs, "node %s", f.names[i])
	}
	return replies[0].Pairs
}
