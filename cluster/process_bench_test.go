//go:build unix

package cluster

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// newDefaultFleet has the default options, and no proxies.
func newDefaultFleet(b *testing.B) (*fleet, *visitor) {
	b.Helper()
	f := emptyFleet(b, func(p *plan) { p.Defaults = true })
	f.straight = map[string]string{}
	f.open()
	v := f.visitor()
	b.Cleanup(v.leave)
	return f, v
}

// load lets clients in the leader's process put.
func (f *fleet) load(v *visitor, l load) *took {
	f.t.Helper()
	a, err := v.ask(f.leader(), request{Op: "load", Load: &l, Limit: 5 * time.Minute})
	require.NoError(f.t, err)
	return a.Took
}

// BenchmarkProcesses puts pairs of 16 and 100 bytes by clients in the leader's process, for five seconds.
func BenchmarkProcesses(b *testing.B) {
	f, v := newDefaultFleet(b)
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			for range b.N {
				t := f.load(v, load{Clients: clients, For: 5 * time.Second})
				require.Zero(b, t.Failed, t.FirstFailure)
				b.ReportMetric(t.PerSecond, "puts/s")
				b.ReportMetric(float64(t.P50.Microseconds()), "us/p50")
				b.ReportMetric(float64(t.P99.Microseconds()), "us/p99")
				b.ReportMetric(float64(t.Longest.Milliseconds()), "ms/longest")
			}
		})
	}
}

// BenchmarkLeaderless takes the time from when the leader is closed, killed or stopped, or its disk hangs, until a put is acknowledged.
func BenchmarkLeaderless(b *testing.B) {
	for _, how := range []struct {
		name      string
		end, mend func(f *fleet, v *visitor, name string)
	}{
		{"closed", func(_ *fleet, v *visitor, name string) {
			_, _ = v.ask(name, request{Op: "end", Limit: 50 * time.Millisecond})
		}, func(f *fleet, _ *visitor, name string) {
			<-f.process(name).ended
			f.start(name, 3)
		}},
		{"killed", func(f *fleet, _ *visitor, name string) { f.signal(name, syscall.SIGKILL) }, func(f *fleet, _ *visitor, name string) {
			f.start(name, 3)
		}},
		{"stopped", func(f *fleet, _ *visitor, name string) { f.signal(name, syscall.SIGSTOP) }, func(f *fleet, _ *visitor, name string) {
			f.signal(name, syscall.SIGCONT)
		}},
		{"disk hangs", func(_ *fleet, v *visitor, name string) {
			_, _ = v.ask(name, request{Op: "hang"})
			_, _ = v.do(name, input{opPut, "key", "that it hangs on"})
		}, func(f *fleet, _ *visitor, name string) {
			f.signal(name, syscall.SIGKILL)
			f.start(name, 3)
		}},
	} {
		b.Run(how.name, func(b *testing.B) {
			f, v := newDefaultFleet(b)
			var times []time.Duration
			for range b.N {
				old := f.leader()
				f.load(v, load{Clients: 4, Each: 10})
				began := time.Now()
				how.end(f, v, old)
				f.putElsewhere(v, old)
				times = append(times, time.Since(began))
				how.mend(f, v, old)
				f.requireAlike()
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Milliseconds()), "ms/median")
			b.ReportMetric(float64(times[len(times)-1].Milliseconds()), "ms/longest")
		})
	}
}

// putElsewhere puts a pair on another node, as soon as one takes it.
func (f *fleet) putElsewhere(v *visitor, old string) {
	f.t.Helper()
	waitUntil(f.t, func() bool {
		for _, name := range f.names {
			if name == old {
				continue
			}
			if _, err := v.do(name, input{opPut, "key", "value"}); err == nil {
				return true
			}
		}
		return false
	})
}

// BenchmarkReplacement lets a new node take the place of a follower while clients in the leader's process put among 200,000 pairs.
func BenchmarkReplacement(b *testing.B) {
	f, v := newDefaultFleet(b)
	f.load(v, load{Clients: 64, Keys: 200_000, Each: 200_000 / 64})
	sick := newIllness(f, rand.New(rand.NewPCG(1, 2)))
	for i := range b.N {
		leader, old := f.leader(), ""
		for _, name := range f.names {
			if name != leader {
				old = name
			}
		}
		putting := load{Clients: 8, Keys: 200_000, For: 10 * time.Second}
		b.ReportMetric(float64(f.load(v, putting).Longest.Milliseconds()), "ms/longest-before")
		answer := make(chan *took, 1)
		go func() { answer <- f.load(f.visitor(), putting) }()
		time.Sleep(time.Second)
		began, fresh := time.Now(), fmt.Sprint("new", i)
		f.start(fresh, 0)
		sick.join(soon(b), fresh)
		_, err := v.ask(leader, request{Op: "remove", Value: old, Limit: 10 * time.Second})
		require.NoError(b, err)
		b.ReportMetric(time.Since(began).Seconds(), "s/replaced")
		t := <-answer
		require.Zero(b, t.Failed, t.FirstFailure)
		b.ReportMetric(t.PerSecond, "puts/s")
		b.ReportMetric(float64(t.Longest.Milliseconds()), "ms/longest")
		f.signal(old, syscall.SIGKILL)
		f.names = append(without(f.names, old), fresh)
		out, err := v.do(fresh, input{op: opGet, key: fmt.Sprintf("%016d", 0)})
		require.NoError(b, err)
		require.Len(b, out.value, 100)
	}
}

func without(names []string, one string) (rest []string) {
	for _, name := range names {
		if name != one {
			rest = append(rest, name)
		}
	}
	return rest
}

// BenchmarkStart opens a node of a cluster, and a store with the same pairs, both with a log of 300,000 commits and no snapshot.
func BenchmarkStart(b *testing.B) {
	const pairs = 300_000
	quiet := func(o *Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.Store.SegmentSize, o.Store.CheckpointFactor = 0, -1
	}
	c, dir := newTrioWith(b, quiet, "alone"), b.TempDir()
	store := kv.Options{CheckpointFactor: -1, Logger: slog.New(slog.DiscardHandler)}
	db, err := kv.Open(dir, store)
	require.NoError(b, err)
	l := load{Clients: 256, Each: pairs / 256}
	for _, db := range []*kv.DB{db, c.nodes["alone"].DB()} {
		t, err := l.run(b.Context(), db)
		require.NoError(b, err)
		require.Zero(b, t.Failed, t.FirstFailure)
	}
	require.NoError(b, db.Close())
	c.stop("alone")
	for range 3 {
		b.Run("store", func(b *testing.B) {
			for range b.N {
				db, err := kv.Open(dir, store)
				require.NoError(b, err)
				b.StopTimer()
				require.NoError(b, db.Close())
				b.StartTimer()
			}
		})
		b.Run("node", func(b *testing.B) {
			for range b.N {
				node, err := Open(b.Context(), filepath.Join(c.dir, "alone"), c.options("alone"))
				require.NoError(b, err)
				b.StopTimer()
				require.NoError(b, node.Close())
				b.StartTimer()
			}
		})
	}
}
