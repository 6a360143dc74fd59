package kv

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	soakDuration = flag.Duration("soak.duration", 10*time.Second, "how long the soak test takes")
	soakSeed     = flag.Uint64("soak.seed", 0, "the seed of the soak test; 0 takes one from the clock")
	soakNoise    = flag.Bool("soak.noise", false, "let the soak test put noise, which can't be compressed, instead of text")
)

// How many times the live data the store may take on disk, besides two segments. What can't be compressed makes a snapshot as
// large as the data. Then there are for a moment three of them, the one that was just written included, and the log after the
// oldest, which is two times half a snapshot and what was committed while the last one was written.
const (
	soakTextFactor  = 3
	soakNoiseFactor = 5
)

// TestSoak lets processes work on a store of some 30 MB of text, in each sync mode, with checkpoints coming by themselves
// as often as the default factor makes them, and with sessions that expire and are swept, and kills them at random instants. Each leaves what was promised of it. At
// every moment the directory, with all that is temporary in it, takes less than three times the live data and two
// segments. One process in the middle lives for a third of the time; it has as many goroutines and open files at its
// end as at its beginning.
func TestSoak(t *testing.T) {
	seed, duration := *soakSeed, *soakDuration
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if testing.Short() {
		duration = min(duration, 3*time.Second)
	}
	t.Logf("go test ./kv -run '^%s$' -soak.seed=%d -soak.duration=%v -soak.noise=%v (but the instants are the scheduler's too)",
		t.Name(), seed, duration, *soakNoise)
	soaked := newSoak(t, *soakNoise)
	random := rand.New(rand.NewPCG(seed, 0))
	soaked.live(SyncNever, -1) // It loads.
	started, long := time.Now(), false
	for time.Since(started) < duration || !long {
		life := soakReportEvery + time.Duration(random.Int64N(int64(min(duration/10, 4*time.Second))))
		if !long && time.Since(started) >= duration/3 {
			long, life = true, duration/3
		}
		soaked.live(SyncMode(random.IntN(3)), life)
		soaked.requirePromised(random.IntN(4) != 0)
	}
	soaked.tell()
	soaked.requireSwept()
	require.Positive(t, soaked.taken, "no checkpoint")
	soaked.requireBounded()
	soaked.requireFlat()
}

// soak is a store whose processes are killed, and what has to be in it.
//
// Invariant: steps and accounts are the outcome of each writer's steps up to its mark.
type soak struct {
	t        *testing.T
	spec     soakSpec
	marks    [soakWriters]int64
	steps    [soakWriters][soakKeys]int64 // Which step put a key; 0 where there is none.
	accounts [soakAccounts]int64
	touched  [soakAccounts]bool // By a transfer, so that the account is there.
	disk     *soakDisk

	killed, halfway int // Processes, and those killed while a checkpoint was being written.
	taken, failed   uint64
	appended, swept uint64
	longest         []soakReport // Of the process that lived longest.
}

func newSoak(t *testing.T, noise bool) *soak {
	root := t.TempDir()
	s := &soak{t: t, spec: soakSpec{Dir: filepath.Join(root, "store"), Acks: filepath.Join(root, "acks"), Noise: noise}}
	s.disk = &soakDisk{dir: s.spec.Dir}
	require.NoError(t, os.WriteFile(s.spec.Acks, make([]byte, 8*soakWriters), 0o600))
	return s
}

// live starts a process and kills it after some time, or, where that is negative, once it has loaded.
func (s *soak) live(mode SyncMode, life time.Duration) {
	s.spec.Sync = mode
	encoded, err := json.Marshal(s.spec)
	require.NoError(s.t, err)
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), soakEnv+"="+string(encoded))
	var stderr strings.Builder
	child.Stderr = &stderr
	stdout, err := child.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, child.Start())
	stop := s.disk.watch(child.Process.Pid)
	if life >= 0 {
		time.AfterFunc(life, func() { _ = child.Process.Kill() })
	}
	var reports []soakReport
	for said := bufio.NewScanner(stdout); said.Scan(); {
		var report soakReport
		if json.Unmarshal(said.Bytes(), &report) != nil {
			continue // It was killed in the middle of the line.
		}
		reports = append(reports, report)
		if report.Loaded {
			s.disk.loaded(report)
		}
		if report.Loaded && life < 0 {
			_ = child.Process.Kill()
		}
	}
	err = child.Wait()
	stop()
	require.Empty(s.t, stderr.String())
	require.EqualError(s.t, err, "signal: killed")
	s.remember(reports)
}

// remember takes down what a process has said of itself.
func (s *soak) remember(reports []soakReport) {
	s.killed++
	if left, _ := filepath.Glob(filepath.Join(s.spec.Dir, snapshotName, "*.tmp")); len(left) > 0 {
		s.halfway++
	}
	if len(reports) > len(s.longest) {
		s.longest = reports
	}
	if len(reports) > 0 {
		last := reports[len(reports)-1]
		s.taken += last.Taken
		s.failed += last.Failed
		s.appended += last.Appended
		s.swept += last.Swept
	}
}

// requirePromised opens the store and requires that it holds whole steps, each writer's from the first on, and all that
// were acknowledged.
func (s *soak) requirePromised(readOnly bool) {
	opts := soakOptions(s.spec.Sync)
	opts.ReadOnly = readOnly
	db, err := Open(s.spec.Dir, opts)
	require.NoError(s.t, err)
	acknowledged, err := os.ReadFile(s.spec.Acks)
	require.NoError(s.t, err)
	commits := int64(0)
	for w := range int64(soakWriters) {
		var least int64
		_, _ = fmt.Sscan(string(acknowledged[8*w:8*w+8]), &least)
		least = max(least, s.marks[w]) // What was found once is no less than acknowledged.
		mark := numberAt(db, soakMark(w))
		require.GreaterOrEqual(s.t, mark, least, "an acknowledged step of writer %d is gone", w)
		require.LessOrEqual(s.t, mark, least+1, "writer %d has done more than it began", w)
		s.advance(w, mark)
		s.requireKeys(db, w)
		commits += mark
	}
	require.LessOrEqual(s.t, commits, int64(db.Offset()), "there are fewer offsets than steps; the others are sweeps")
	s.requireSessions(db)
	for a, want := range s.accounts {
		require.Equal(s.t, want, numberAt(db, soakAccount(int64(a))), "account %d", a)
	}
	require.NoError(s.t, db.Close())
	requireSound(s.t, s.spec.Dir, Options{})
}

// advance does a writer's steps with what has to be in the store.
func (s *soak) advance(w, mark int64) {
	for s.marks[w] < mark {
		s.marks[w]++
		step := soakStep{w, s.marks[w]}
		kind := step.kind()
		s.accounts[kind.from] -= kind.amount
		s.accounts[kind.to] += kind.amount
		if kind.from != kind.to {
			s.touched[kind.from], s.touched[kind.to] = true, true
		}
		for key, put := range step.changes() {
			s.steps[w][key] = 0
			if put {
				s.steps[w][key] = step.i
			}
		}
	}
}

// requireSessions requires that the sessions that are left belong to steps that were done.
func (s *soak) requireSessions(db *DB) {
	for key, value := range db.Scan(Range{Prefix: []byte("session/")}) {
		var step soakStep
		_, err := fmt.Sscanf(string(key), "session/%d/%d", &step.writer, &step.i)
		require.NoError(s.t, err)
		require.LessOrEqual(s.t, step.i, s.marks[step.writer], "%s is of a step that is gone", key)
		require.Equal(s.t, fmt.Append(nil, step.i), value, "%s", key)
	}
}

// requireSwept lets the store sweep in peace: no session is left then, and everything else is.
func (s *soak) requireSwept() {
	want := soakWriters
	for a := range int64(soakAccounts) {
		if s.touched[a] {
			want++
		}
	}
	for _, steps := range s.steps {
		for _, step := range steps {
			if step > 0 {
				want++
			}
		}
	}
	db, err := Open(s.spec.Dir, soakOptions(s.spec.Sync))
	require.NoError(s.t, err)
	waitUntil(s.t, func() bool { return db.visible.load().deadlines.len() == 0 })
	require.Equal(s.t, want, pairsHeld(db))
	require.NoError(s.t, db.Close())
	require.Positive(s.t, s.swept, "no process swept")
}

func (s *soak) requireKeys(db *DB, w int64) {
	values, key := soakValues{noise: s.spec.Noise}, int64(0)
	next := func() {
		for key < soakKeys && s.steps[w][key] == 0 {
			key++
		}
	}
	next()
	for found, value := range db.Scan(Range{Prefix: fmt.Appendf(nil, "%d/", w)}) {
		if key == soakKeys || string(found) != soakKey(w, key) || string(value) != string(values.of(soakStep{w, s.steps[w][key]}, key)) {
			require.FailNow(s.t, "not what was put", "%s is %q; expected was %s, by step %d", found, value, soakKey(w, key), s.steps[w][min(key, soakKeys-1)])
		}
		key++
		next()
	}
	require.EqualValues(s.t, soakKeys, key, "%s is gone", soakKey(w, key))
}

// tell says what the soak came to.
func (s *soak) tell() {
	steps := int64(0)
	for _, mark := range s.marks {
		steps += mark
	}
	s.t.Logf("%d kills, %d of them while a snapshot was being written; %d commits of %d MB; %d checkpoints, %d failed; %d sessions swept",
		s.killed, s.halfway, steps, s.appended>>20, s.taken, s.failed, s.swept)
	s.t.Logf("disk at its worst: %v", s.disk.worst)
}

func (s *soak) requireBounded() {
	most := float64(soakTextFactor)
	if s.spec.Noise {
		most = soakNoiseFactor
	}
	require.Greater(s.t, s.disk.looks, 10, "too few looks at the disk")
	require.Less(s.t, s.disk.worst.factor(), most, "%v", s.disk.worst)
}

// requireFlat requires that the process that lived longest had in its last third no more goroutines and descriptors than in
// its first. How many segments the log has goes up and down with checkpoints, so descriptors for them only count where
// a third has many of those.
func (s *soak) requireFlat() {
	reports := s.longest[min(len(s.longest), 5):] // Starting takes some.
	third := len(reports) / 3
	require.Positive(s.t, third, "no process lived for long enough")
	first, last := reports[:third], reports[len(reports)-third:]
	for _, count := range []struct {
		name   string
		of     func(soakReport) int
		counts bool
	}{
		{"goroutines", func(r soakReport) int { return r.Goroutines }, true},
		{"descriptors for other than segments", func(r soakReport) int { return r.Files - r.LogFiles }, true},
		{"descriptors", func(r soakReport) int { return r.Files }, time.Duration(third)*soakReportEvery >= 20*time.Second},
	} {
		before, after := soakMean(first, count.of), soakMean(last, count.of)
		s.t.Logf("%s: %.1f in the first third of %v, %.1f in the last", count.name, before, time.Duration(len(reports))*soakReportEvery, after)
		if count.counts {
			require.LessOrEqual(s.t, after, 1.1*before+2, count.name)
		}
	}
}

func soakMean(reports []soakReport, of func(soakReport) int) float64 {
	sum := 0
	for _, report := range reports {
		sum += of(report)
	}
	return float64(sum) / float64(len(reports))
}
