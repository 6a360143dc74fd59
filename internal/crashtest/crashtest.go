// Package crashtest is what the crash tests of the packages have in common. They run workloads by seed on a disk in memory, and check
// the states that a power cut could leave. It counts distinct states, goes on until there are enough of them, and reports how
// far a long run has come.
package crashtest

import (
	"cmp"
	"flag"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
)

var (
	// Seed is the seed of the first workload; the next one has the next number.
	Seed = flag.Uint64("crash.seed", 1, "the seed of a crash test's first workload")
	// States is how far a crash test goes. With 1 it runs one workload, which is how a violation is seen again.
	States = flag.Int64("crash.states", 0, "go on with a crash test until it has checked this many distinct states; 0 is a slice that suits go test")
)

// reportEvery is how often a long run says how far it has come.
const reportEvery = time.Minute

// Tally counts the states that a crash test checks. It may be used concurrently.
type Tally struct {
	want    int64
	started time.Time
	next    atomic.Uint64 // The seed of the next workload.
	reports atomic.Int64

	taken, distinct atomic.Int64
	deep            [2]atomic.Int64 // How many of the distinct ones were left by a recovery that was cut, by how often.

	hash maphash.Seed
	mu   sync.Mutex
	seen map[uint64]struct{}
}

// Share returns how many states a crash test goes for: what the flag asks for, or else a slice, a thirtieth of which is enough
// with -short. A test that takes a part of what the flag asks for says which.
func Share(slice, part int64) int64 {
	if testing.Short() {
		slice /= 30
	}
	return cmp.Or((*States+part-1)/part, slice)
}

// Run runs workloads on all processors until the distinct states that they have checked are enough, or there is a violation.
func Run(t *testing.T, want int64, workload func(seed uint64, all *Tally)) *Tally {
	all := &Tally{want: want, started: time.Now(), seen: map[uint64]struct{}{}, hash: maphash.MakeSeed()}
	all.next.Store(*Seed)
	var workers sync.WaitGroup
	for range min(want, int64(runtime.GOMAXPROCS(0))) {
		workers.Go(func() {
			for all.distinct.Load() < want && !t.Failed() {
				workload(all.next.Add(1)-1, all)
				if minutes := int64(time.Since(all.started) / reportEvery); all.reports.Swap(minutes) != minutes {
					t.Logf("after %d min: %s", minutes, all)
				}
			}
		})
	}
	workers.Wait()
	violations := 0
	if t.Failed() {
		violations = 1 // It ends the run.
	}
	t.Logf("%s, %d violations, in %v", all, violations, time.Since(all.started).Round(time.Second/10))
	return all
}

// String says how many states were checked of which workloads.
func (s *Tally) String() string {
	return fmt.Sprintf("%s distinct crash states of %s taken, %s of them after a cut recovery and %s after two, seeds %d to %d",
		grouped(s.distinct.Load()), grouped(s.taken.Load()), grouped(s.deep[0].Load()), grouped(s.deep[1].Load()), *Seed, s.next.Load()-1)
}

// Distinct returns how many distinct states were checked.
func (s *Tally) Distinct() int64 { return s.distinct.Load() }

// grouped writes a number with commas between thousands.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// IsNew reports whether a state of the disk, with what is asked of it, has not been seen before. Cuts is how many recoveries have been
// cut on the way to it.
func (s *Tally) IsNew(disk *vfs.Mem, cuts int, asked ...uint64) bool {
	s.taken.Add(1)
	var h maphash.Hash
	h.SetSeed(s.hash)
	disk.Digest(&h)
	content := h.Sum64()
	for _, number := range asked {
		maphash.WriteComparable(&h, number)
	}
	question := h.Sum64()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[question]; known {
		return false
	}
	if _, known := s.seen[content]; !known {
		s.distinct.Add(1)
		if cuts > 0 {
			s.deep[min(cuts, len(s.deep))-1].Add(1)
		}
	}
	s.seen[question], s.seen[content] = struct{}{}, struct{}{}
	return true
}

// Cut is a state that a power cut could leave, and where that came.
type Cut struct {
	Disk *vfs.Mem
	How  string
}

// Cuts cuts the power before each call by which work changes a disk, under a policy that dice draw.
func Cuts(disk *vfs.Mem, dice *rand.Rand, work func()) (cuts []Cut) {
	var mu sync.Mutex // Work may have goroutines that make calls.
	disk.SetHook(func(c vfs.Call) error {
		if c.Op.Changes() {
			mu.Lock()
			defer mu.Unlock()
			policy := vfs.Policies[dice.IntN(len(vfs.Policies))]
			cuts = append(cuts, Cut{disk.Crash(dice.Uint64(), policy), fmt.Sprintf("%v before call %d, %v %s", policy, c.N, c.Op, c.Name)})
		}
		return nil
	})
	defer disk.SetHook(nil)
	work()
	mu.Lock()
	defer mu.Unlock()
	return cuts
}
