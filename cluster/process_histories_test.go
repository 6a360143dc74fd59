package cluster

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
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
// while the leadership and the members change. After each history all nodes have the same pairs.
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
	sick := &illness{fleet: f, dice: rand.New(rand.NewPCG(seed, 100)), counts: map[string]int{}}
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

// illness is what happens to the nodes of a fleet.
type illness struct {
	fleet    *fleet
	dice     *rand.Rand
	counts   map[string]int
	newcomer string // A fourth node that was started.
}

// spread makes trouble until ctx is done.
func (s *illness) spread(ctx context.Context) {
	kinds := []struct {
		name   string
		weight int
		happen func(ctx context.Context, name string)
	}{
		{"kill", 4, s.kill},
		{"kill all", 1, s.killAll},
		{"stop", 3, s.stop},
		{"cut", 3, s.cut},
		{"deaf", 2, s.deafen},
		{"transfer", 3, s.transfer},
		{"leave and join", 2, s.leaveAndJoin},
		{"newcomer", 1, s.comeAndGo},
	}
	for ctx.Err() == nil {
		at := s.dice.IntN(19)
		for _, kind := range kinds {
			if at -= kind.weight; at < 0 {
				s.counts[kind.name]++
				kind.happen(ctx, s.fleet.names[s.dice.IntN(len(s.fleet.names))])
				break
			}
		}
		pause(ctx, s.dice, 300)
	}
}

func (s *illness) kill(ctx context.Context, name string) {
	s.fleet.signal(name, syscall.SIGKILL)
	pause(ctx, s.dice, 300)
	s.fleet.start(name, len(s.fleet.names))
}

func (s *illness) killAll(context.Context, string) {
	for _, name := range s.fleet.names {
		s.fleet.signal(name, syscall.SIGKILL)
	}
	for _, name := range s.fleet.names {
		s.fleet.start(name, len(s.fleet.names))
	}
}

func (s *illness) stop(ctx context.Context, name string) {
	s.fleet.signal(name, syscall.SIGSTOP)
	pause(ctx, s.dice, 1200)
	s.fleet.signal(name, syscall.SIGCONT)
}

func (s *illness) cut(ctx context.Context, name string) {
	s.fleet.net.isolate(name, true)
	pause(ctx, s.dice, 1200)
	s.fleet.net.isolate(name, false)
}

// deafen keeps a node from hearing the others, which hear it.
func (s *illness) deafen(ctx context.Context, name string) {
	for _, other := range s.fleet.names {
		if other != name {
			defer s.fleet.net.hold(other, name)()
		}
	}
	pause(ctx, s.dice, 800)
}

// ask asks any node until it is done, or ctx is.
func (s *illness) ask(ctx context.Context, q request) bool {
	v := s.fleet.visitor()
	defer v.leave()
	for ctx.Err() == nil {
		if _, err := v.ask(s.fleet.names[s.dice.IntN(len(s.fleet.names))], q); err == nil {
			return true
		}
		pause(ctx, s.dice, 20)
	}
	return false
}

func (s *illness) transfer(ctx context.Context, name string) {
	s.ask(ctx, request{Op: "transfer", Value: name})
}

func (s *illness) leaveAndJoin(ctx context.Context, name string) {
	s.ask(ctx, request{Op: "remove", Value: name})
	pause(ctx, s.dice, 200)
	s.join(ctx, name)
}

// join lets a node join until the leader says that it votes: one that was removed while it was away doesn't know.
func (s *illness) join(ctx context.Context, name string) {
	v := s.fleet.visitor()
	defer v.leave()
	for ctx.Err() == nil {
		for _, other := range s.fleet.names {
			a, err := v.ask(other, request{Op: "know"})
			if err == nil && a.Known.Leads && slices.Contains(a.Known.Voters, name) {
				return
			}
		}
		_, _ = v.ask(name, request{Op: "join"})
		pause(ctx, s.dice, 20)
	}
}

// comeAndGo lets a fourth node in, and sends it away again.
func (s *illness) comeAndGo(ctx context.Context, _ string) {
	s.newcomer = fmt.Sprint("d", time.Now().UnixNano())
	s.fleet.start(s.newcomer, 0)
	waiting, cancel := context.WithTimeout(ctx, time.Second)
	s.join(waiting, s.newcomer)
	cancel()
	s.sendAway(ctx)
}

func (s *illness) sendAway(ctx context.Context) {
	if s.newcomer != "" && s.ask(ctx, request{Op: "remove", Value: s.newcomer, Limit: 2 * time.Second}) {
		s.fleet.signal(s.newcomer, syscall.SIGKILL)
		s.newcomer = ""
	}
}

// heal makes the three nodes the members, and waits until each votes.
func (s *illness) heal() {
	f := s.fleet
	f.t.Helper()
	ctx := soon(f.t)
	s.sendAway(ctx)
	for _, name := range f.names {
		s.join(ctx, name)
	}
	require.NoError(f.t, ctx.Err(), "the nodes of %v don't become a cluster again: %v", f.names, slices.Sorted(maps.Keys(s.counts)))
}
