package kv

import (
	"flag"
	"fmt"
	"runtime/debug"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/walnutkv/walnut/internal/vfs"
)

var randomOperations = flag.Int("random.operations", 1_000_000,
	"how many operations the model test makes at least; under -short and under the race detector a fiftieth")

// randomSteps is how many operations a run of the model test makes on average.
const randomSteps = 200

// TestRandomOperationsAgreeWithAModel holds a store against the simplest model of one through everything that its users
// do, one operation after another, with clean ends, power cuts, deaths of the process and failures of the disk in between
// and in the middle of operations. It is promises P1 to P4, P6 and, for one caller, P7.
//
// Rapid draws the runs, and prints the seed and the smallest run that still fails.
func TestRandomOperationsAgreeWithAModel(t *testing.T) {
	want := *randomOperations
	if testing.Short() || raceDetected() {
		want /= 50
	}
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // States are copied all the time, and none is large.
	tally, started := randomTally{}, time.Now()
	for missing := want; missing > 0; missing = want - tally.operations() { // How long runs are is drawn as well.
		checkRandomRuns(t, missing/randomSteps+10, func(rt *rapid.T) { runRandomOperations(rt, tally) })
	}
	t.Logf("%d operations in %v: %v", tally.operations(), time.Since(started).Round(time.Millisecond), tally)
	for name := range randomActions {
		require.Positive(t, tally[name], "%s never happened", name)
	}
	for _, name := range []string{"met power cut", "met death", "met failure", "met expired pairs"} {
		require.Positive(t, tally[name], "%s in the middle of an operation", name)
	}
}

// raceDetected reports whether the race detector is on.
func raceDetected() bool {
	info, found := debug.ReadBuildInfo()
	return found && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// checkRandomRuns lets rapid draw so many runs.
func checkRandomRuns(t *testing.T, runs int, run func(t *rapid.T)) {
	t.Helper()
	steps := randomSteps
	if testing.Short() { // Rapid takes a fifth of the runs then, and half of the steps.
		runs, steps = runs*5, steps*2
	}
	require.NoError(t, flag.Set("rapid.checks", fmt.Sprint(runs)))
	require.NoError(t, flag.Set("rapid.steps", fmt.Sprint(steps)))
	rapid.Check(t, run)
}

// randomTally counts operations by name, and what else is worth to be counted under names that begin with "met".
type randomTally map[string]int

func (tally randomTally) operations() (sum int) {
	for name, count := range tally {
		if !strings.HasPrefix(name, "met ") {
			sum += count
		}
	}
	return sum
}

// String lists the counts, the most frequent first.
func (tally randomTally) String() string {
	names := make([]string, 0, len(tally))
	for name := range tally {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return tally[names[i]] > tally[names[j]] })
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "%s %d, ", name, tally[name])
	}
	return strings.TrimSuffix(text.String(), ", ")
}

// randomRun is one run of the model test.
//
// The history is the states that a power cut may bring back, and none else: states[0] is that after the last offset which
// was promised to survive, and the last one is what readers see.
type randomRun struct {
	*rapid.T
	tally randomTally
	mem   *vfs.Mem
	opts  Options
	db    *DB
	now   atomic.Int64 // The clock, in ticks. A store's background asks for it too.

	states []*modelState
	// What a power cut, and the death of the process, must leave at least. The hook of a file system reads them from any
	// goroutine.
	durable, acknowledged atomic.Uint64

	held       []*heldState
	iterations []*heldIteration
	serial     uint32 // Of values.
	lastKey    int
	accident   accident
}

// randomActions are the operations by name; randomNames has each as often as it shall happen.
var (
	randomActions = map[string]func(*randomRun){
		"put": (*randomRun).put, "put ttl": (*randomRun).putTTL, "delete": (*randomRun).delete, "apply": (*randomRun).apply,
		"update": (*randomRun).update, "refusals": (*randomRun).refusals, "full disk": (*randomRun).fullDisk,
		"get": (*randomRun).get, "scan": (*randomRun).scan, "view": (*randomRun).view, "stats": (*randomRun).stats,
		"hold": (*randomRun).hold, "look": (*randomRun).look, "let go": (*randomRun).letGo,
		"iterate": (*randomRun).iterate, "advance": (*randomRun).advance, "read only": (*randomRun).readOnly,
		"clock": (*randomRun).clock, "sweep": (*randomRun).sweep, "sync": (*randomRun).sync, "checkpoint": (*randomRun).checkpoint, "reopen": (*randomRun).reopen,
		"power cut": (*randomRun).powerCut, "death": (*randomRun).death, "accident": (*randomRun).prepareAccident,
	}
	randomNames = rapid.SampledFrom(weighted("put 40, get 40, scan 20, update 30, apply 20, delete 12, put ttl 8, " +
		"view 12, look 20, advance 16, hold 6, iterate 8, let go 2, clock 8, sweep 6, sync 6, checkpoint 2, stats 4, refusals 2, full disk 2, " +
		"read only 1, accident 3, reopen 1, power cut 1, death 1"))
)

// weighted lists names, each as often as the number after it says, and evenly over the list: rapid draws what comes first
// more often.
func weighted(table string) (names []string) {
	var places []float64
	for entry := range strings.SplitSeq(table, ", ") {
		at := strings.LastIndexByte(entry, ' ')
		name := entry[:at]
		weight, err := strconv.Atoi(entry[at+1:])
		if err != nil {
			panic(err)
		}
		for i := range weight {
			place := (float64(i) + 0.5) / float64(weight)
			where, _ := slices.BinarySearch(places, place)
			places = slices.Insert(places, where, place)
			names = slices.Insert(names, where, name)
		}
	}
	return names
}

func runRandomOperations(t *rapid.T, tally randomTally) {
	r := &randomRun{T: t, tally: tally, states: []*modelState{{}}}
	r.now.Store(1000)
	r.moveTo(aftermath{disk: vfs.NewMem()})
	t.Cleanup(r.end)
	r.open()
	t.Repeat(map[string]func(*rapid.T){
		"step": func(*rapid.T) {
			name := randomNames.Draw(t, "operation")
			tally[name]++
			randomActions[name](r)
			r.settle()
		},
	})
	if r.accident.disarm() {
		r.recover()
	}
	r.reopen()
	r.requireSound()
}

// end gives back what a run may still hold, however it ended.
func (r *randomRun) end() {
	for _, iteration := range r.iterations {
		iteration.stop()
	}
	if r.db != nil {
		_ = r.db.Close()
	}
}

// latest is the state that readers see.
func (r *randomRun) latest() *modelState { return r.states[len(r.states)-1] }

// seen is what a read that begins now has to show.
func (r *randomRun) seen() modelView { return modelView{r.latest(), r.ticks()} }

func (r *randomRun) ticks() uint32 { return uint32(r.now.Load()) }

// require fails the run unless ok.
func (r *randomRun) require(ok bool, format string, args ...any) {
	if !ok {
		r.Helper()
		r.Fatalf(format, args...)
	}
}

// number draws from 0 to most, small ones more often.
func (r *randomRun) number(label string, most int) int {
	if most >= len(drawNumbers) {
		return rapid.IntRange(0, most).Draw(r.T, label)
	}
	return drawNumbers[most].Draw(r.T, label)
}

// drawNumbers are the generators of small numbers, made once because they are drawn from so often.
var drawNumbers = func() (generators [256]*rapid.Generator[int]) {
	for most := range generators {
		generators[most] = rapid.IntRange(0, most)
	}
	return generators
}()

// drawRange draws a range with any of its fields.
func (r *randomRun) drawRange() (drawn Range) {
	fields := r.number("range fields", 31)
	bound := func(label string) []byte { return modelBounds[r.number(label, len(modelBounds)-1)] }
	if fields&1 != 0 {
		drawn.Prefix = bound("prefix")
		drawn.Prefix = drawn.Prefix[:len(drawn.Prefix)-min(len(drawn.Prefix), r.number("prefix without", 3))]
	}
	if fields&2 != 0 {
		drawn.Start = bound("start")
	}
	if fields&4 != 0 {
		drawn.End = bound("end")
	}
	drawn.Reverse = fields&8 != 0
	if fields&16 != 0 {
		drawn.Limit = r.number("limit", 5)
	}
	return drawn
}

// settle ends an operation: an accident in the middle of it is faced, and what was promised to survive is history.
func (r *randomRun) settle() {
	if r.accident.happened() {
		r.recover()
	}
	for len(r.states) > 1 && r.states[0].offset < r.durable.Load() {
		r.states = r.states[1:]
	}
	r.require(r.db.Offset() == r.latest().offset, "offset %d, want %d", r.db.Offset(), r.latest().offset)
}
