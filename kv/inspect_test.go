package kv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/wal"
)

func TestCommitsAreWhatWasApplied(t *testing.T) {
	db, mem := openMem(t)
	db.now = func() int64 { return 12345 }
	var b Batch
	b.PutDeadline([]byte("a"), []byte("1"), time.Unix(9, 0))
	b.Delete([]byte("b"))
	b.DeleteRange([]byte("c"), nil)
	_, err := db.Apply(&b)
	require.NoError(t, err)
	put(t, db, "d", "2")
	want := []Commit{
		{Offset: 1, Time: time.Unix(0, 12345).UTC(), Mutations: []Mutation{
			{Kind: MutationPut, Key: []byte("a"), Value: []byte("1"), Deadline: time.Unix(9, 0).UTC()},
			{Kind: MutationDelete, Key: []byte("b")},
			{Kind: MutationDeleteRange, Key: []byte("c"), End: []byte{}},
		}},
		{Offset: 2, Time: time.Unix(0, 12345).UTC(), Mutations: []Mutation{
			{Kind: MutationPut, Key: []byte("d"), Value: []byte("2")},
		}},
	}
	opts := memOptions(mem)
	log, err := OpenLog(storeDir, opts)
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	require.EqualValues(t, 1, log.First())
	require.EqualValues(t, 2, log.Last())
	require.Len(t, log.Segments(), 1)
	for from := range 5 {
		for _, commits := range []func(uint64) func(func(Commit, error) bool){
			func(from uint64) func(func(Commit, error) bool) { return db.Commits(from) },
			func(from uint64) func(func(Commit, error) bool) { return log.Commits(from) },
		} {
			got := []Commit{}
			for commit, err := range commits(uint64(from)) {
				require.NoError(t, err)
				require.Equal(t, len(appendRecord(nil, 12345, commit.Mutations)), commit.Size)
				commit.Size = 0
				got = append(got, commit)
			}
			require.Equal(t, want[min(max(from-1, 0), 2):], got, "from %d", from)
		}
	}
	for range db.Commits(0) {
		break // An iteration may be left.
	}
}

func TestCommitsEndWithErrClosedWhenTheStoreIsClosed(t *testing.T) {
	db, err := Open(storeDir, manual(vfs.NewMem()))
	require.NoError(t, err)
	for i := range 100 {
		put(t, db, fmt.Sprint(i), string(make([]byte, 200)))
	}
	var last error
	for _, last = range db.Commits(0) {
		require.NoError(t, db.Close())
	}
	require.ErrorIs(t, last, ErrClosed)
}

// damagedStore returns a directory with a closed store of several segments, one byte of whose second segment is flipped.
func damagedStore(t *testing.T) (dir string, damaged Segment) {
	t.Helper()
	dir = t.TempDir()
	db, err := Open(dir, Options{SegmentSize: 4 << 10})
	require.NoError(t, err)
	for i := range 200 {
		put(t, db, fmt.Sprintf("%03d", i), "a value of some length")
	}
	damaged = db.log.Segments()[1]
	require.NoError(t, db.Close())
	content, err := os.ReadFile(damaged.Path)
	require.NoError(t, err)
	content[damaged.Bytes/2] ^= 1
	require.NoError(t, os.WriteFile(damaged.Path, content, 0o600))
	return dir, damaged
}

func TestDamageIsRefusedAndNamed(t *testing.T) {
	dir, damaged := damagedStore(t)
	for _, readOnly := range []bool{true, false} {
		logger, text := logTo()
		_, err := Open(dir, Options{ReadOnly: readOnly, Logger: logger})
		require.ErrorIs(t, err, ErrCorrupt)
		require.Contains(t, text.String(), "store not opened")
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt)
		require.Equal(t, damaged.Path, corrupt.Path)
		require.Positive(t, corrupt.Position)
	}
}

func TestLogOfADamagedStoreReadsUpToTheDamage(t *testing.T) {
	dir, damaged := damagedStore(t)
	log, err := OpenLog(dir, Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	next, failures := uint64(1), 0
	for commit, err := range log.Commits(0) {
		if err != nil {
			failures++
			require.ErrorIs(t, err, ErrCorrupt)
			continue
		}
		require.Equal(t, next, commit.Offset)
		next++
	}
	require.Equal(t, 1, failures)
	require.True(t, damaged.Base < next && next <= damaged.Last, "read up to %d", next)
}

func TestCheckNamesTheDamage(t *testing.T) {
	dir, damaged := damagedStore(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o600))
	violations, err := Check(context.Background(), dir, Options{})
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(violations, func(v Violation) bool { return v.Damage && v.Path == damaged.Path }), "%+v", violations)
	foreign := func(v Violation) bool { return !v.Damage && strings.HasSuffix(v.Path, "letter.txt") }
	require.True(t, slices.ContainsFunc(violations, foreign), "%+v", violations)
}

func TestCheckOfASoundStoreFindsNothing(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(dir, Options{SegmentSize: 4 << 10})
	require.NoError(t, err)
	for i := range 200 {
		put(t, db, fmt.Sprintf("%03d", i), "a value of some length")
	}
	require.NoError(t, db.Close())
	violations, err := Check(context.Background(), dir, Options{})
	require.NoError(t, err)
	require.Empty(t, violations)
}

func TestCheckStopsWhenItsContextEnds(t *testing.T) {
	dir := t.TempDir()
	db := openStore(t, dir, Options{})
	put(t, db, "k", "v")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Check(ctx, dir, Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestToolsRefuseWhatIsNoStore(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenLog(dir, Options{})
	require.ErrorIs(t, err, ErrNotStore)
	_, err = Check(context.Background(), dir, Options{})
	require.ErrorIs(t, err, ErrNotStore)
	_, err = Check(context.Background(), filepath.Join(dir, "missing"), Options{})
	require.ErrorIs(t, err, ErrNotStore)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "wal"), 0o700))
	_, err = OpenLog(dir, Options{})
	require.ErrorIs(t, err, ErrNotStore)
	_, err = Check(context.Background(), dir, Options{})
	require.ErrorIs(t, err, ErrNotStore)
}

// logOf makes a store whose log has these records.
func logOf(t *testing.T, records ...[]byte) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll(storeDir))
	log, err := wal.Open(storeDir+"/wal", memOptions(mem).log(storeDir))
	require.NoError(t, err)
	for _, record := range records {
		_, err := log.Append(record)
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	return mem
}

func TestRecordThatIsNoCommitIsRefusedAndNamed(t *testing.T) {
	good := appendRecord(nil, 1, []Mutation{{Kind: MutationPut, Key: []byte("k")}})
	newer := encodeMutations([]byte{0x08, 0x05})
	cases := []struct {
		sentence string
		record   []byte
		want     error
	}{
		{"a record that is no protobuf", []byte("not a commit"), ErrCorrupt},
		{"a record with a kind of a newer version", newer, ErrVersion},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			opts := memOptions(logOf(t, good, c.record, good))
			for _, opts.ReadOnly = range []bool{true, false} {
				_, err := Open(storeDir, opts)
				require.ErrorIs(t, err, c.want)
				require.Regexp(t, `(offset|commit) 2\b`, err.Error())
			}
			violations, err := Check(context.Background(), storeDir, opts)
			require.NoError(t, err)
			require.Len(t, violations, 1)
			require.True(t, violations[0].Damage)
			require.EqualValues(t, 2, violations[0].Offset)

			log, err := OpenLog(storeDir, opts)
			require.NoError(t, err)
			var read []uint64
			for commit, err := range log.Commits(0) {
				if err != nil {
					require.ErrorIs(t, err, c.want)
					break
				}
				read = append(read, commit.Offset)
			}
			require.Equal(t, []uint64{1}, read)
			require.NoError(t, log.Close())
		})
	}
}

// TestRefusedStoreIsNotLeftLocked opens a store that can't be replayed twice.
func TestRefusedStoreIsNotLeftLocked(t *testing.T) {
	opts := memOptions(logOf(t, []byte("not a commit")))
	for range 2 {
		_, err := Open(storeDir, opts)
		require.ErrorIs(t, err, ErrCorrupt)
		require.NotErrorIs(t, err, ErrLocked)
	}
}

func TestLogWithoutItsBeginningIsAGap(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.MkdirAll(storeDir))
	log, err := wal.Open(storeDir+"/wal", memOptions(mem).log(storeDir))
	require.NoError(t, err)
	require.NoError(t, log.Reset(10))
	_, err = log.Append(appendRecord(nil, 1, []Mutation{{Kind: MutationPut, Key: []byte("k")}}))
	require.NoError(t, err)
	require.NoError(t, log.Close())

	_, err = Open(storeDir, memOptions(mem))
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "begins with offset 10")
	violations, err := Check(context.Background(), storeDir, memOptions(mem))
	require.NoError(t, err)
	require.Len(t, violations, 1)
	require.True(t, violations[0].Damage)
}
