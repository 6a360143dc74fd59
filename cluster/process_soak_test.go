//go:build unix

package cluster

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var soakFlag = flag.Duration("soak", 5*time.Second, "how long the soak test takes")

// soak is a fleet that works while nodes join, leave, move, are killed, stopped and cut off, and have sick disks. One node is never killed, so
// that it shows what piles up in a process.
type soak struct {
	*fleet
	sick    *illness
	counted [6]int // What each client has put last, and what was acknowledged of that.
	done    [6]int
	samples []sample
}

// sample is what the node that is never killed takes.
type sample struct {
	known
	Disk int64
}

// TestSoak shows that nothing piles up and nothing is lost.
func TestSoak(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test -run TestSoak -v . -soak=%v -seed=%d", *soakFlag, seed)
	s := &soak{fleet: newFleet(t, func(*plan) {})}
	s.sick = newIllness(s.fleet, rand.New(rand.NewPCG(seed, 0)))
	s.sick.spared = s.names[0]
	s.sick.kinds = append(s.sick.kinds, misfortune{"move", 2, s.move})
	period := max(min(*soakFlag/4, 20*time.Second), 2*time.Second)
	for began := time.Now(); time.Since(began) < *soakFlag || len(s.samples) < 3; {
		s.work(period)
		s.sick.heal()
		s.requireCounted(s.requireAlike())
		s.take()
	}
	counted := 0
	for _, done := range s.done {
		counted += done
	}
	t.Logf("the clients counted to %d in all; %v", counted, s.sick.counts)
	s.requireFlat()
}

// work lets clients count, each in a key, and put among many others. Their pairs are always the same ones, so that nothing grows.
func (s *soak) work(period time.Duration) {
	ctx, cancel := context.WithTimeout(s.t.Context(), period)
	defer cancel()
	var clients sync.WaitGroup
	for number := range s.counted {
		clients.Go(func() {
			v := s.visitor()
			defer v.leave()
			for i := 0; ctx.Err() == nil; i++ {
				name := s.names[i%len(s.names)]
				_, _ = v.do(name, input{opSet, fmt.Sprint("pair/", (s.counted[number]*7+number)%2000), strings.Repeat("v", i%800)})
				s.counted[number]++
				if _, err := v.do(name, input{opSet, fmt.Sprint("count/", number), strconv.Itoa(s.counted[number])}); err == nil {
					s.done[number] = s.counted[number]
				}
			}
		})
	}
	s.sick.spread(ctx)
	clients.Wait()
}

// requireCounted shows that each counter is what was acknowledged last, or what was asked for since.
func (s *soak) requireCounted(pairs map[string]string) {
	s.t.Helper()
	for number, done := range s.done {
		held, _ := strconv.Atoi(pairs[fmt.Sprint("count/", number)])
		require.GreaterOrEqual(s.t, held, done, "client %d", number)
		require.LessOrEqual(s.t, held, s.counted[number], "client %d", number)
	}
}

// move gives a node another address, and waits until the members know it: a node that is known at its old address alone can't be asked for its
// vote, without which there may be no leader once another one is removed.
func (s *soak) move(ctx context.Context, name string) {
	if name == s.sick.spared {
		return
	}
	s.signal(name, syscall.SIGKILL)
	s.moved[name] = fmt.Sprint(name, " in place ", len(s.net.proxies))
	s.start(name, len(s.names))
	v := s.visitor()
	defer v.leave()
	for ctx.Err() == nil {
		if _, err := v.ask(name, request{Op: "join", Limit: time.Second}); err == nil {
			return
		}
		pause(ctx, s.sick.dice, 20)
	}
}

// take takes a sample.
func (s *soak) take() {
	s.t.Helper()
	v := s.visitor()
	defer v.leave()
	a, err := v.ask(s.sick.spared, request{Op: "know", Limit: 5 * time.Second})
	require.NoError(s.t, err)
	taken := sample{known: *a.Known}
	require.NoError(s.t, filepath.WalkDir(filepath.Join(s.dir, s.sick.spared), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		taken.Disk += info.Size()
		return err
	}))
	s.samples = append(s.samples, taken)
	text, err := json.Marshal(taken)
	require.NoError(s.t, err)
	s.t.Logf("%s", text)
}

// requireFlat shows that the end takes no more than the beginning, but for what comes and goes.
func (s *soak) requireFlat() {
	s.t.Helper()
	begin, end := s.samples[1], s.samples[len(s.samples)-1]
	require.LessOrEqual(s.t, end.Goroutines, begin.Goroutines+30)
	require.LessOrEqual(s.t, end.Descriptors, begin.Descriptors+20)
	require.LessOrEqual(s.t, end.Heap, 2*begin.Heap+16<<20)
	require.LessOrEqual(s.t, end.Disk, 2*begin.Disk+1<<20)
}
