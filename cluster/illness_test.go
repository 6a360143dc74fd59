//go:build unix

package cluster

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
)

// illness is what happens to the nodes of a fleet.
type illness struct {
	fleet    *fleet
	dice     *rand.Rand
	counts   map[string]int
	newcomer string // A fourth node that was started.
	spared   string // A node that isn't killed, if there is one.
	kinds    []misfortune
}

// misfortune is one thing that happens, as often as its weight says.
type misfortune struct {
	name   string
	weight int
	happen func(ctx context.Context, name string)
}

func newIllness(f *fleet, dice *rand.Rand) *illness {
	s := &illness{fleet: f, dice: dice, counts: map[string]int{}}
	s.kinds = []misfortune{
		{"kill", 4, s.kill},
		{"kill all", 1, s.killAll},
		{"stop", 3, s.stop},
		{"cut", 3, s.cut},
		{"deaf", 2, s.deafen},
		{"transfer", 3, s.transfer},
		{"leave and join", 2, s.leaveAndJoin},
		{"newcomer", 1, s.comeAndGo},
		{"full disk", 2, s.fillDisk},
		{"hung disk", 2, s.hangDisk},
		{"failing disk", 2, s.failDisk},
	}
	return s
}

// spread makes trouble until ctx is done.
func (s *illness) spread(ctx context.Context) {
	weights := 0
	for _, kind := range s.kinds {
		weights += kind.weight
	}
	for ctx.Err() == nil {
		at := s.dice.IntN(weights)
		for _, kind := range s.kinds {
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
	if name == s.spared {
		s.cut(ctx, name)
		return
	}
	s.fleet.signal(name, syscall.SIGKILL)
	pause(ctx, s.dice, 300)
	s.fleet.start(name, len(s.fleet.names))
}

func (s *illness) killAll(context.Context, string) {
	mortal := without(s.fleet.names, s.spared)
	for _, name := range mortal {
		s.fleet.signal(name, syscall.SIGKILL)
	}
	for _, name := range mortal {
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

// fillDisk lets a node's disk be full for a while.
func (s *illness) fillDisk(ctx context.Context, name string) {
	s.sicken(ctx, name, request{Op: "full"}, false)
}

// hangDisk lets a node's disk hang for a while. Some nodes are killed before it goes on.
func (s *illness) hangDisk(ctx context.Context, name string) {
	s.sicken(ctx, name, request{Op: "hang"}, s.dice.IntN(2) == 0)
}

// failDisk lets appends fail, whose entries may be there when the node is started again.
func (s *illness) failDisk(ctx context.Context, name string) {
	how := [...]string{"at once", "late"}[s.dice.IntN(2)]
	if name == s.spared {
		s.cut(ctx, name)
		return
	}
	s.sicken(ctx, name, request{Op: "fail", Value: how}, true)
}

// sicken makes a node's disk sick for a while, and kills it or heals the disk.
func (s *illness) sicken(ctx context.Context, name string, how request, kill bool) {
	v := s.fleet.visitor()
	defer v.leave()
	_, _ = v.ask(name, how)
	pause(ctx, s.dice, 800)
	if kill && name != s.spared {
		s.fleet.signal(name, syscall.SIGKILL)
		s.fleet.start(name, len(s.fleet.names))
		return
	}
	waitUntil(s.fleet.t, func() bool {
		_, err := v.ask(name, request{Op: "heal"})
		return err == nil
	})
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
