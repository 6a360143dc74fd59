package kv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// soakEnv tells the test binary that it is the child of a soak test: it holds a soakSpec.
const soakEnv = "WALNUT_TEST_SOAK"

// soakSpec is what a child is told.
type soakSpec struct {
	Dir   string
	Acks  string // A file with the number of the last step that each writer had acknowledged, eight bytes each.
	Sync  SyncMode
	Noise bool // Values are noise, otherwise text.
}

const (
	soakWriters  = 4
	soakKeys     = 40_000 // Of each writer.
	soakLoad     = 100    // Keys that a step puts while a writer puts all of them for the first time.
	soakAccounts = 16
	soakSessions = 4 // One batch in this number leaves a session too, and so does every transfer.
	soakTTL      = 200 * time.Millisecond
	soakSegment  = 1 << 20
	soakPause    = time.Millisecond // Between what a reader does.
)

// soakOptions let checkpoints come as often as the default factor makes them.
func soakOptions(mode SyncMode) Options {
	return Options{Sync: mode, SyncInterval: 5 * time.Millisecond, SegmentSize: soakSegment, CheckpointFloor: 1 << 20}
}

// soakReport is what a child says of itself, a line of JSON each time.
type soakReport struct {
	Loaded     bool // Every key was put once.
	Live       int64
	Goroutines int
	Files      int    // Open descriptors; 0 where the system doesn't tell.
	LogFiles   int    // Those for files that the log has, one for each: how many it has goes up and down.
	Taken      uint64 // Checkpoints of this process.
	Failed     uint64
	Appended   uint64 // Bytes of records.
	Swept      uint64 // Sessions.
}

// soakReportEvery is how often it does.
const soakReportEvery = 100 * time.Millisecond

// runSoakChild works on a store until it is killed.
func runSoakChild(encoded string) {
	var spec soakSpec
	err := json.Unmarshal([]byte(encoded), &spec)
	var acks *os.File
	if err == nil {
		acks, err = os.OpenFile(spec.Acks, os.O_WRONLY, 0)
	}
	var db *DB
	if err == nil {
		db, err = Open(spec.Dir, soakOptions(spec.Sync))
	}
	if err != nil {
		panic(err)
	}
	s := &soakChild{db: db, values: soakValues{noise: spec.Noise}}
	for w := range int64(soakWriters) {
		go s.write(w, acks)
	}
	go s.every(soakPause, s.read())
	go s.every(soakPause, s.view())
	go s.every(soakPause, s.hold)
	s.every(soakReportEvery, s.report)
}

// soakChild is what the goroutines of a child share.
type soakChild struct {
	db     *DB
	values soakValues
}

func (s *soakChild) every(pause time.Duration, do func() error) {
	for {
		if err := do(); err != nil {
			panic(err)
		}
		time.Sleep(pause)
	}
}

// write takes one step after another. A step whose acknowledgement was noted comes before the next one.
func (s *soakChild) write(w int64, acks io.WriterAt) {
	for i := numberAt(s.db, soakMark(w)) + 1; ; i++ {
		step := soakStep{w, i}
		err := step.perform(s.db, s.values)
		if err == nil {
			_, err = acks.WriteAt(soakNumber(i), 8*w)
		}
		if err != nil {
			panic(fmt.Errorf("%+v: %w", step, err))
		}
	}
}

func (s *soakChild) report() error {
	stats := s.db.Stats()
	files, logFiles := s.descriptors()
	report := soakReport{
		Loaded: true, Live: stats.DataBytes, Goroutines: runtime.NumGoroutine(), Files: files, LogFiles: logFiles,
		Taken: stats.Checkpoints.Taken, Failed: stats.Checkpoints.Failed, Appended: stats.CommitBytes,
		Swept: stats.Swept,
	}
	for w := range int64(soakWriters) {
		report.Loaded = report.Loaded && numberAt(s.db, soakMark(w)) >= soakKeys/soakLoad
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

// descriptors counts what is open, and the files of the log among it that are still there.
func (s *soakChild) descriptors() (open, ofLog int) {
	const descriptors = "/proc/self/fd"
	entries, _ := os.ReadDir(descriptors)
	seen := map[string]bool{}
	for _, entry := range entries {
		target, _ := os.Readlink(filepath.Join(descriptors, entry.Name()))
		if filepath.Base(filepath.Dir(target)) == walName && !strings.HasSuffix(target, " (deleted)") {
			seen[target] = true
		}
	}
	return len(entries), len(seen)
}

// read gets keys by chance. What it finds belongs to the key, and to a step that is visible.
func (s *soakChild) read() func() error {
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	return func() error {
		for range 10 {
			w, key := rng.Int64N(soakWriters), rng.Int64N(soakKeys)
			found, err := s.db.Get([]byte(soakKey(w, key)))
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			step := soakStep{writer: w}
			if _, err := fmt.Sscan(string(found), &step.i); err != nil {
				return fmt.Errorf("%s is %q: %w", soakKey(w, key), found, err)
			}
			if mark := numberAt(s.db, soakMark(w)); mark < step.i || !bytes.Equal(found, s.values.of(step, key)) {
				return fmt.Errorf("%s is %q while writer %d is at %d", soakKey(w, key), found, w, mark)
			}
		}
		return nil
	}
}

// view looks at instants: each shows whole steps, nobody's money made or lost, and no step gone that was there before.
func (s *soakChild) view() func() error {
	var marks [soakWriters]int64
	return func() error {
		return s.db.View(func(tx *Tx) error {
			sum := int64(0)
			for a := range int64(soakAccounts) {
				sum += numberIn(tx, []byte(soakAccount(a)))
			}
			if sum != 0 {
				return fmt.Errorf("a View sees the sum %d", sum)
			}
			for w := range int64(soakWriters) {
				mark := numberIn(tx, []byte(soakMark(w)))
				if mark < marks[w] {
					return fmt.Errorf("a View sees writer %d at %d, after another saw it at %d", w, mark, marks[w])
				}
				marks[w] = mark
				if err := s.whole(tx, soakStep{w, mark}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// whole says what is missing of a writer's last step.
func (s *soakChild) whole(tx *Tx, step soakStep) error {
	if step.i == 0 {
		return nil
	}
	for key, put := range step.changes() {
		found, err := tx.Get([]byte(soakKey(step.writer, key)))
		if put && (err != nil || !bytes.Equal(found, s.values.of(step, key))) || !put && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("a View sees %+v without %s: %q, %w", step, soakKey(step.writer, key), found, err)
		}
	}
	return nil
}

// hold holds a snapshot for a while, at the end of which it shows what it did at first.
func (s *soakChild) hold() error {
	held, err := s.db.ReadView()
	if err != nil {
		return err
	}
	prefix := fmt.Appendf(nil, "%d/", rand.IntN(soakWriters))
	seed := maphash.MakeSeed()
	before := soakSum(seed, held, prefix)
	time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
	if soakSum(seed, held, prefix) != before {
		return errors.New("a held view has changed")
	}
	return held.Close()
}

func soakSum(seed maphash.Seed, held *ReadView, prefix []byte) uint64 {
	var sum maphash.Hash
	sum.SetSeed(seed)
	for key, value := range held.Scan(Range{Prefix: prefix}) {
		_, _ = sum.Write(key)
		_, _ = sum.Write(value)
	}
	return sum.Sum64()
}
