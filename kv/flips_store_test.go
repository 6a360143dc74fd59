package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// flipStore is a small store of which a test flips bits, and all that it has to show. Its log was truncated at the front, so that it
// needs its snapshots, has three segments, and goes on after the newest of two snapshots.
type flipStore struct {
	opts    Options
	files   []flipFile
	bits    int
	states  map[uint64]string // The pairs after each commit.
	commits map[uint64]string
	shots   []uint64 // The commits of the snapshots, the older one first.
	first   uint64   // The first commit of the log.

	proven       bool // A mark or seal proves the last acknowledged commit.
	acknowledged uint64
	last         uint64         // The last commit that was begun.
	active       string         // The file of the last segment.
	places       map[uint64]int // Where the frames of commits begin in their segments.
	ends         int            // Where that of the last acknowledged one ends.
	begun        int            // Where the frame begins of a commit that was never acknowledged; 0 where there is none.
}

type flipFile struct {
	name string
	data []byte
}

// newFlipStore makes a store and leaves it as the function does that is called last. That gets the store while it is open.
func newFlipStore(t *testing.T, leave func(s *flipStore, db *DB)) *flipStore {
	t.Helper()
	mem := vfs.NewMem()
	s := &flipStore{opts: manual(mem), states: map[uint64]string{}, commits: map[uint64]string{}, places: map[uint64]int{}}
	s.opts.Clock, s.opts.sweepByHand = fixedClock(1000), true
	// All of this is in a bubble, so that the second after which an idle log proves its last commit takes no time.
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 1))
		s.opts.SnapshotCompression = CompressionNone
		db := s.fill(t, random, 3, 3)
		s.shots = append(s.shots, checkpoint(t, db))
		require.NoError(t, db.Close())
		s.opts.SnapshotCompression = CompressionS2
		db = s.fill(t, random, 5, 2)
		s.shots = append(s.shots, checkpoint(t, db))
		for range 8 {
			s.apply(t, db, random)
		}
		synctest.Wait() // The indexes of the segments that were rolled are written.
		require.Len(t, db.log.Segments(), 3)
		s.first, s.acknowledged, s.active = db.log.First(), db.Offset(), db.log.Segments()[2].Path
		leave(s, db)
	})
	s.last = slices.Max(slices.Collect(maps.Keys(s.states)))
	s.list(t)
	return s
}

// fill opens the store and commits until the log has had the given number of segments, and the last of them some commits.
func (s *flipStore) fill(t *testing.T, random *rand.Rand, segments, commits int) *DB {
	t.Helper()
	db, err := Open(storeDir, s.opts)
	require.NoError(t, err)
	s.states[0] = ""
	for len(db.log.Segments()) < segments || commits > 0 {
		if s.apply(t, db, random); len(db.log.Segments()) == segments {
			commits--
		}
	}
	return db
}

// apply commits something of every kind, in values that compress and values that don't.
func (s *flipStore) apply(t *testing.T, db *DB, random *rand.Rand) {
	t.Helper()
	b := randomBatch(random, 1000)
	noise := make([]byte, 180)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	b.Put(fmt.Appendf(nil, "noise/%02d", random.IntN(24)), noise)
	b.Put(fmt.Appendf(nil, "zeros/%02d", random.IntN(24)), make([]byte, random.IntN(60)))
	_, err := db.Apply(b)
	require.NoError(t, err)
	s.note(db)
}

// note notes what the store shows.
func (s *flipStore) note(db *DB) { s.states[db.Offset()] = pairsOf(db) }

// list notes the store's files, as they are now, and the commits that they hold.
func (s *flipStore) list(t *testing.T) {
	t.Helper()
	mem := s.opts.fs.(*vfs.Mem)
	for _, name := range mem.Names() {
		data, err := mem.ReadFile(name)
		require.NoError(t, err)
		s.files, s.bits = append(s.files, flipFile{name, data}), s.bits+8*len(data)
	}
	for piece, err := range Salvage(t.Context(), storeDir, s.opts) {
		require.NoError(t, err)
		if piece.Err == nil {
			s.commits[piece.Offset] = commitLine(piece.Commit)
		}
		if s.places[piece.Offset] = int(piece.Position); piece.Offset == s.acknowledged {
			s.ends = int(piece.Position + piece.Bytes)
		}
	}
}

// flip returns the disk with one of its bits flipped, and says where that is.
func (s *flipStore) flip(bit int) (mem *vfs.Mem, name string, position int, err error) {
	position = bit / 8
	i := 0
	for ; position >= len(s.files[i].data); i++ {
		position -= len(s.files[i].data)
	}
	mem, name = s.opts.fs.(*vfs.Mem).Clone(), s.files[i].name
	data := append([]byte(nil), s.files[i].data...)
	data[position] ^= 1 << (bit % 8)
	return mem, name, position, mem.WriteFile(name, data)
}

// shows is what a store and a view of it have in common.
type shows interface {
	Scan(over Range) iter.Seq2[[]byte, []byte]
	Deadline(key []byte) (time.Time, error)
}

// pairsOf returns the pairs that are visible, with their deadlines, as text that is made quickly.
func pairsOf(in shows) string {
	var text []byte
	for key, value := range in.Scan(Range{}) {
		deadline, err := in.Deadline(key)
		if err != nil {
			text = append(text, err.Error()...)
		}
		text = append(append(append(text, key...), '='), value...)
		text = append(strconv.AppendInt(append(text, '@'), unixNano(deadline), 10), '\n')
	}
	return string(text)
}

// commitLine returns what a commit says, as its record does.
func commitLine(c Commit) string {
	return string(appendRecord(binary.BigEndian.AppendUint64(nil, c.Offset), c.Time.UnixNano(), c.Mutations))
}

// sight is what one opening of a store has shown.
type sight struct {
	refused  error  // Why it was not opened.
	last     uint64 // The last commit, of a store that was opened. Its pairs were right.
	recovery Recovery
	met      error // Why some of the history can't be read. What can be read of it was right.
}

// String returns what matters of it in a failure.
func (s sight) String() string {
	return fmt.Sprintf("shows commit %d, refused: %v, history: %v, recovery: %+v", s.last, s.refused, s.met, s.recovery)
}

// look opens a store, reads all that it has, and closes it. An error is a broken promise.
func (s *flipStore) look(ctx context.Context, opts Options, draw uint64) (seen sight, err error) {
	db, err := Open(storeDir, opts)
	if errors.Is(err, ErrCorrupt) {
		return sight{refused: err}, nil
	}
	if err != nil {
		return seen, fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	seen.last, seen.recovery = db.Offset(), db.Recovery()
	want, known := s.states[seen.last]
	if got := pairsOf(db); !known || got != want {
		return seen, fmt.Errorf("the store shows commit %d with\n%q, which should be\n%q", seen.last, got, want)
	}
	for what, commits := range map[string]iter.Seq2[Commit, error]{
		"commits": db.Commits(0), "watch": s.watched(ctx, db, seen.last),
	} {
		met, err := s.inOrder(commits, seen.last)
		if err != nil {
			return seen, fmt.Errorf("%s: %w", what, err)
		}
		seen.met = errors.Join(seen.met, met)
	}
	for _, offset := range []uint64{s.shots[0], s.shots[0] + draw%(seen.last-s.shots[0]+1)} {
		past, err := db.At(ctx, offset)
		if err != nil {
			if seen.met = errors.Join(seen.met, err); !errors.Is(err, ErrCorrupt) {
				return seen, err
			}
			continue
		}
		if got := pairsOf(past); got != s.states[offset] {
			return seen, fmt.Errorf("the state after commit %d is\n%q, which should be\n%q", offset, got, s.states[offset])
		}
		if err := past.Close(); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

// watched yields the commits that a watcher gets up to the last one, which ends with an error in a store that is only read.
func (s *flipStore) watched(ctx context.Context, db *DB, last uint64) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute) // So that a commit that never comes is an error.
		defer cancel()
		next := s.first
		for c, err := range db.Watch(ctx, WatchOptions{From: next}) {
			if errors.Is(err, ErrReadOnly) && next > last || !yield(c, err) || c.Offset == last && !db.opts.ReadOnly {
				return
			}
			next = c.Offset + 1
		}
	}
}

// inOrder compares commits with those that there were, up to the last one or one that can't be read.
func (s *flipStore) inOrder(commits iter.Seq2[Commit, error], last uint64) (met, broken error) {
	next := s.first
	for c, err := range commits {
		switch {
		case errors.Is(err, ErrCorrupt):
			return err, nil
		case err != nil:
			return nil, err
		case commitLine(c) != s.commits[next]:
			return nil, fmt.Errorf("commit %d is %q instead of %q", next, commitLine(c), s.commits[next])
		}
		next++
	}
	if next != last+1 {
		return nil, fmt.Errorf("they end silently before %d, the last is %d", next, last)
	}
	return nil, nil
}

// goOn commits to a store that was opened before, which must take that and show it when it is opened again. One that was not damaged
// is sound then.
func (s *flipStore) goOn(ctx context.Context, opts Options, last uint64, isSound bool) error {
	for i := range uint64(2) {
		db, err := Open(storeDir, opts)
		if err != nil {
			return err
		}
		want := s.states[last]
		if i == 1 {
			want += "zz=@0\n"
		}
		if got := pairsOf(db); got != want || db.Offset() != last+i {
			err = fmt.Errorf("opened again, the store shows commit %d with\n%q, which should be %d with\n%q", db.Offset(), got, last+i, want)
		}
		if err == nil && i == 0 {
			_, err = db.Put([]byte("zz"), nil)
		}
		if err = errors.Join(err, db.Close()); err != nil {
			return err
		}
	}
	violations, err := Check(ctx, storeDir, opts)
	if i := slices.IndexFunc(violations, func(v Violation) bool { return v.Damage }); err == nil && isSound && i >= 0 {
		err = fmt.Errorf("after another commit, check says: %v", violations[i])
	}
	return err
}
