package kv

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/wal"
)

var (
	flipsAll  = flag.Bool("flips.all", false, "flip every bit of a closed store, and all near the end of killed ones, not a few thousand")
	flipsSeed = flag.Uint64("flips.seed", 0, "the seed of which bits are flipped; 0 takes one from the clock")
)

// TestEveryFlippedBitOfAClosedStoreIsNoticed flips bits of a closed store, one at a time, and opens it for reading and for writing,
// reads its history, and checks it. All of that has to agree (P5), and what is shown has to be right.
func TestEveryFlippedBitOfAClosedStoreIsNoticed(t *testing.T) {
	s := newFlipStore(t, func(s *flipStore, db *DB) {
		require.NoError(t, db.Close())
		s.proven = true // By the seal.
	})
	require.Greater(t, s.bits, 160_000)
	s.flipBits(t, nil, s.bits, 1200)
}

// TestEveryFlippedBitOfAStoreThatWasNotClosedIsNoticedOrHeals does so with stores whose process was killed.
func TestEveryFlippedBitOfAStoreThatWasNotClosedIsNoticedOrHeals(t *testing.T) {
	kill := func(s *flipStore, db *DB) { s.opts.fs = s.opts.fs.(*vfs.Mem).Exit() }
	idle := func(s *flipStore) {
		time.Sleep(3 * time.Second) // So that the mark is written that proves the last commit.
		s.proven = true
	}
	for _, c := range []struct {
		sentence string
		leave    func(t *testing.T, s *flipStore, db *DB)
	}{
		{"idle for a second", func(t *testing.T, s *flipStore, db *DB) {
			idle(s)
			kill(s, db)
		}},
		{"just after a commit", func(t *testing.T, s *flipStore, db *DB) { kill(s, db) }},
		{"while a commit was being synced", func(t *testing.T, s *flipStore, db *DB) {
			idle(s)
			s.dieIn(t, db, func(mem *vfs.Mem) *vfs.Mem { return mem.Exit() })
		}},
		{"by a power cut while a commit was being synced", func(t *testing.T, s *flipStore, db *DB) {
			idle(s)
			s.dieIn(t, db, func(mem *vfs.Mem) *vfs.Mem { return s.torn(t, mem) })
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := newFlipStore(t, func(s *flipStore, db *DB) {
				c.leave(t, s, db)
				require.NoError(t, db.Close()) // On the disk that the process that was killed doesn't see.
			})
			s.flipBits(t, s.nearEnd(), 2000, 300)
		})
	}
}

// dieIn commits once more, and takes the disk before the sync of that.
func (s *flipStore) dieIn(t *testing.T, db *DB, die func(mem *vfs.Mem) *vfs.Mem) {
	mem := s.opts.fs.(*vfs.Mem)
	s.begun = int(db.log.Segments()[2].Bytes)
	var left *vfs.Mem
	mem.SetHook(func(c vfs.Call) error {
		if left == nil && isStoreSync(c) {
			left = die(mem)
		}
		return nil
	})
	s.apply(t, db, rand.New(rand.NewPCG(2, 2)))
	mem.SetHook(nil)
	require.NotNil(t, left)
	s.opts.fs = left
}

// torn returns the disk after a power cut that kept a part of what was being synced.
func (s *flipStore) torn(t *testing.T, mem *vfs.Mem) *vfs.Mem {
	tail := func(mem *vfs.Mem) string { return contentOf(t, mem)[s.active] }
	for seed := uint64(0); ; seed++ {
		left := mem.Crash(seed, vfs.TornTail)
		if now := tail(left); now != tail(mem.Exit()) && now != tail(mem.Crash(0, vfs.KeepNone)) {
			return left
		}
	}
}

// nearEnd returns the bits of the last segment from its last commits on, up to some that were never written.
func (s *flipStore) nearEnd() (bits []int) {
	before := 0
	for _, f := range s.files {
		if f.name == s.active {
			from, to := s.places[s.acknowledged-1], min(len(bytes.TrimRight(f.data, "\x00"))+64, len(f.data))
			for bit := 8 * (before + from); bit < 8*(before+to); bit++ {
				bits = append(bits, bit)
			}
		}
		before += len(f.data)
	}
	return bits
}

// flipBits flips bits near the end and others, some of all these or, where that is asked for, each of them.
func (s *flipStore) flipBits(t *testing.T, near []int, others, some int) {
	seed := *flipsSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if testing.Short() || raceDetected() {
		some /= 4
	}
	random := rand.New(rand.NewPCG(seed, 0))
	bits := append(near, random.Perm(s.bits)[:others]...)
	if !*flipsAll {
		random.Shuffle(len(bits), func(i, j int) { bits[i], bits[j] = bits[j], bits[i] })
		bits = bits[:some]
	}
	t.Logf("replay: go test ./kv -run '^%s$' -flips.seed=%d -flips.all=%v", t.Name(), seed, *flipsAll)
	f := &flips{store: s, seed: seed, bits: bits}
	outcomes := f.run(t)
	t.Logf("%d flips in a store of %d bits, %d broken promises", len(bits), s.bits, f.failures.Load())
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%7d %s", outcomes[outcome], outcome)
	}
}

// flips is a number of bits that goroutines flip.
type flips struct {
	store    *flipStore
	seed     uint64
	bits     []int
	next     atomic.Int64
	failures atomic.Int64
}

// flipFailures is how many broken promises are shown.
const flipFailures = 10

// flipsAtOnce is how many bits are flipped in one bubble, whose goroutines must all have ended before the next.
const flipsAtOnce = 50

// run flips the bits, on all processors, and counts what they come to.
func (f *flips) run(t *testing.T) map[string]int {
	watched := make(chan struct{})
	defer close(watched)
	go f.watch(watched)
	outcomes := make([]map[string]int, runtime.GOMAXPROCS(0))
	t.Run("group", func(t *testing.T) {
		for i := range outcomes {
			outcomes[i] = map[string]int{}
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for f.some(t, outcomes[i]) {
				}
			})
		}
	})
	all := map[string]int{}
	for _, some := range outcomes {
		for outcome, times := range some {
			all[outcome] += times
		}
	}
	return all
}

// some flips the next bits. Its bubble's clock waits for nothing: a look at a damaged log takes several, with pauses.
func (f *flips) some(t *testing.T, outcomes map[string]int) (more bool) {
	synctest.Test(t, func(t *testing.T) {
		for range flipsAtOnce {
			i := int(f.next.Add(1)) - 1
			if more = i < len(f.bits) && f.failures.Load() < flipFailures; !more {
				return
			}
			outcome, err := f.store.judge(t.Context(), f.bits[i], f.seed+uint64(i))
			if err != nil {
				f.failures.Add(1)
				t.Errorf("bit %d: %v", f.bits[i], err)
			}
			if outcomes[outcome]++; (i+1)%10_000 == 0 {
				t.Logf("%d of %d flips, %d broken promises", i+1, len(f.bits), f.failures.Load())
			}
		}
	})
	return more
}

// watch ends the process, with a trace of every goroutine, if a flipped bit makes something hang. It counts its own short waits, since
// a process that is stopped for a while, or gets no processor, hangs nowhere.
func (f *flips) watch(done <-chan struct{}) {
	for seen, waits := int64(-1), 0; ; waits++ {
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
		}
		if now := f.next.Load(); now != seen {
			seen, waits = now, 0
		} else if waits > 600 {
			panic(fmt.Sprintf("one of the bits before %d hangs", now))
		}
	}
}

// judge flips a bit and lets everything look at the store. It returns what became of it. An error is a broken promise.
func (s *flipStore) judge(ctx context.Context, bit int, draw uint64) (outcome string, err error) {
	mem, name, position, err := s.flip(bit)
	if err != nil {
		return "", err
	}
	opts := s.opts
	opts.fs = mem
	v := flipVerdict{file: name, position: position}
	if err := v.look(ctx, s, opts, draw); err != nil {
		return "", fmt.Errorf("%s, position %d: %w", name, position, err)
	}
	if outcome, err = s.rule(&v); err != nil {
		return "", fmt.Errorf("%s, position %d: %w: %v", name, position, err, &v)
	}
	if v.written.refused == nil && draw%8 == 0 {
		err = s.goOn(ctx, opts, v.written.last, len(v.damage) == 0)
	}
	return filepath.Ext(name) + ": " + outcome, err
}

// flipVerdict is what reading, writing and checking say of a store with a flipped bit.
type flipVerdict struct {
	file            string
	position        int
	read, written   sight
	damage, notices []Violation
	bad             []string // Snapshots that can't be read when they are asked for.
}

// String returns what matters of it in a failure.
func (v *flipVerdict) String() string {
	return fmt.Sprintf("reading %v; writing %v; check finds damage %v and notices %v; bad snapshots %v", v.read, v.written, v.damage, v.notices, v.bad)
}

// look lets everything look at a store, and refuses what contradicts itself.
func (v *flipVerdict) look(ctx context.Context, s *flipStore, opts Options, draw uint64) (err error) {
	reading := opts
	reading.ReadOnly = true
	if v.read, err = s.look(ctx, reading, draw); err != nil {
		return fmt.Errorf("for reading: %w", err)
	}
	violations, err := Check(ctx, storeDir, opts)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	for _, violation := range violations {
		if violation.Damage {
			v.damage = append(v.damage, violation)
		} else {
			v.notices = append(v.notices, violation)
		}
	}
	for _, offset := range s.shots {
		if err := VerifySnapshot(ctx, snapshotPath(offset), opts); errors.Is(err, ErrCorrupt) {
			v.bad = append(v.bad, snapshotPath(offset))
		} else if err != nil {
			return err
		}
	}
	if v.written, err = s.look(ctx, opts, draw); err != nil {
		return fmt.Errorf("for writing: %w", err)
	}
	return v.agree()
}

// agree is what must hold whatever was flipped. Both openings refuse the store or both show the same commit; and Check calls it
// damaged if and only if one of them refuses it, or something that was durable can't be read any more.
func (v *flipVerdict) agree() error {
	isMet := v.read.met != nil || len(v.bad) > 0
	switch {
	case (v.read.refused == nil) != (v.written.refused == nil), v.read.last != v.written.last, (v.read.met == nil) != (v.written.met == nil):
		return fmt.Errorf("for reading and for writing the store is another one: %v", v)
	case (len(v.damage) > 0) != (v.read.refused != nil || isMet):
		return fmt.Errorf("check doesn't agree with the openings: %v", v)
	case len(v.damage) > 0 && !isNamed(v.damage, v.file):
		return fmt.Errorf("check names another file: %v", v)
	}
	return nil
}

func isNamed(violations []Violation, path string) bool {
	return slices.ContainsFunc(violations, func(v Violation) bool { return v.Path == path })
}

var errRule = errors.New("that must not happen")

// rule says what a flipped bit may come to, by where it is.
func (s *flipStore) rule(v *flipVerdict) (outcome string, err error) {
	r := v.written
	isRight := r.refused == nil && r.last >= s.acknowledged && len(v.damage) == 0
	switch filepath.Ext(v.file) {
	case "": // LOCK, which has the last holder's process id.
		if !isRight || isNamed(v.notices, v.file) {
			return "", errRule
		}
		return "of no consequence", nil
	case ".index":
		if !isRight || !isNamed(v.notices, v.file) {
			return "", errRule
		}
		return "noticed, no answer changes", nil
	case ".snap":
		newest := v.file == snapshotPath(s.shots[1])
		if r.refused != nil || r.last < s.acknowledged || !slices.Equal(v.bad, []string{v.file}) || newest != (len(r.recovery.Skipped) == 1) {
			return "", errRule
		}
		return "right, from the other one", nil
	}
	if v.file != s.active || v.position < s.places[s.acknowledged] {
		return s.mustBeNoticed(v)
	}
	return s.mayHeal(v)
}

// mustBeNoticed is the rule for what was durable, and is known to have been.
func (s *flipStore) mustBeNoticed(v *flipVerdict) (outcome string, err error) {
	switch {
	case len(v.damage) == 0 || v.written.refused == nil && v.written.last < s.acknowledged:
		return "", errRule
	case v.written.refused != nil:
		return "refused", nil
	}
	return "met by reading the history", nil
}

// mayHeal is the rule for the end of the log, from the last acknowledged commit on.
func (s *flipStore) mayHeal(v *flipVerdict) (outcome string, err error) {
	r := v.written
	switch {
	case v.position < s.ends && s.proven:
		return s.mustBeNoticed(v)
	case v.position < s.ends && r.refused == nil:
		// Nothing proves the last group of a log that was killed within a second: it can't be told from one that a power cut tore.
		cut := r.recovery.Log
		if r.last != s.acknowledged-1 || len(v.damage) > 0 || cut.Outcome != wal.Torn || cut.QuarantinePath == "" || !isNamed(v.notices, v.file) {
			return "", errRule
		}
		return "the last commit, which nothing proves, is cut and kept aside", nil
	case r.refused != nil && v.position < s.begun && len(v.damage) > 0:
		return "refused: a mark that a later commit proves", nil
	case r.refused != nil || r.last < s.acknowledged || len(v.damage) > 0 || !isNamed(v.notices, v.file):
		return "", errRule
	case r.last < s.last:
		return "what was never acknowledged is cut", nil
	}
	return "nothing is lost", nil
}
