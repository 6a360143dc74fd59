package kv

import (
	"flag"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

var (
	faultsAll   = flag.Bool("faults.all", false, "let every call of the workload fail in every way; otherwise only some do")
	faultsSeed  = flag.Uint64("faults.seed", 1, "says which calls fail where not all do")
	faultsPoint = flag.String("faults.point", "", "the one call that fails, as a failure of the test names it")
)

const (
	// One in this many points is tried where not all are: primes, so that every kind of call meets every kind of fault. Of the simplest
	// ones, more are.
	faultsEvery, faultsEveryShort = 53, 211
	simpleEvery, simpleEveryShort = 1, 5
	// faultsLeast is how many calls, each with each kind of error that passes, there are at least with one handle, and with many.
	faultsLeast = 1500
)

// faultPoint is a workload and the call in it that fails.
type faultPoint struct {
	fault
	reopens bool // The store is opened for each step.
	sync    SyncMode
}

func (p faultPoint) way() string {
	if p.reopens {
		return "reopened"
	}
	return "one handle"
}

func (p faultPoint) String() string {
	lasts := "once"
	if p.lasts {
		lasts = "for good"
	}
	return strings.Join([]string{p.way(), p.sync.String(), p.kind.name, lasts, p.call}, ", ")
}

func (p faultPoint) replay() string {
	return fmt.Sprintf("replay: go test ./kv -run TestAFaultAtAnyCall -faults.point='%v'", p)
}

// isSimple reports whether a changing call fails once with EIO, in the default mode with one handle.
func (p faultPoint) isSimple() bool {
	return p.changes && !p.lasts && p.kind.err == syscall.EIO && p.sync == SyncAlways && !p.reopens
}

// TestAFaultAtAnyCallIsSaidAndLosesNothing fails the calls of a workload, each with each kind of error, once and for good: with one handle
// over all of it, and with one for each step, which meets what a failed sync has left in the page cache. An error says what has become of
// a commit, and the store opens and works once the fault is over.
func TestAFaultAtAnyCallIsSaidAndLosesNothing(t *testing.T) {
	var points []faultPoint
	for _, reopens := range []bool{false, true} {
		for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
			points = append(points, faultPoints(t, faultPoint{reopens: reopens, sync: mode})...)
		}
	}
	points = chosenPoints(points)
	require.NotEmpty(t, points, "no call has that name")
	met := make([]bool, len(points))
	t.Run("points", func(t *testing.T) { runFaults(t, points, met) })
	made := map[string]int{}
	for i, p := range points {
		if met[i] {
			made[p.way()]++
		}
		if met[i] && p.sync == SyncAlways && !p.lasts {
			made[p.way()+" always once"]++
		}
	}
	for _, way := range []string{"one handle", "reopened"} {
		once := made[way+" always once"]
		t.Logf("%s: %d points, seed %d; %d of them are a call and an error, once, in the default mode", way, made[way], *faultsSeed, once)
		if *faultsAll && !t.Failed() {
			require.GreaterOrEqual(t, once, faultsLeast)
		}
	}
}

// faultPoints runs the workload without a fault, and returns all faults that it can meet.
func faultPoints(t *testing.T, p faultPoint) (points []faultPoint) {
	for _, call := range runFault(t, p).worked {
		for _, kind := range faultKinds {
			if kind.short && call.op != vfs.OpWrite {
				continue
			}
			for _, lasts := range []bool{false, true} {
				p.fault = fault{call: call.name, changes: call.op.Changes(), kind: kind, lasts: lasts}
				points = append(points, p)
			}
		}
	}
	return points
}

// chosenPoints returns those that the flags ask for.
func chosenPoints(points []faultPoint) []faultPoint {
	every, simply := uint64(faultsEvery), uint64(simpleEvery)
	if testing.Short() {
		every, simply = faultsEveryShort, simpleEveryShort
	}
	n, simple := uint64(0), uint64(0)
	return slices.DeleteFunc(points, func(p faultPoint) bool {
		if *faultsPoint != "" {
			return p.String() != *faultsPoint
		}
		n++
		chosen := *faultsAll || n%every == *faultsSeed%every
		if p.isSimple() {
			simple++
			chosen = chosen || simple%simply == *faultsSeed%simply
		}
		return !chosen
	})
}

// runFaults runs the workload with each of the faults, some at a time, up to the first that finds something. It notes which of the calls
// have come: the log's background may take another course.
func runFaults(t *testing.T, points []faultPoint, met []bool) {
	const atATime = 8
	var next atomic.Int64
	for n := range atATime {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					next.Store(int64(len(points)))
				}
			}()
			for i := next.Add(1) - 1; i < int64(len(points)); i = next.Add(1) - 1 {
				met[i] = runFault(t, points[i]).disk.met
			}
		})
	}
}

// runFault runs the workload with a fault, if there is one, and judges what is left.
func runFault(t *testing.T, p faultPoint) (r *faultRun) {
	t.Helper()
	hangs := time.AfterFunc(2*time.Minute, func() {
		debug.SetTraceback("all")
		panic("the store hangs: " + p.replay())
	})
	defer hangs.Stop()
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != nil {
				t.Fatalf("panic: %v\n%s\n%s", p, debug.Stack(), r.says)
			}
		}()
		r = newFaultRun(t, p)
		r.workload(p.reopens)
		r.worked = slices.Clone(r.disk.calls)
		r.verify()
	})
	return r
}
