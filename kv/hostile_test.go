package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/snapshot"
)

// closedStore returns the directory of a store in the system's files that was closed, with a snapshot and commits after it.
func closedStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	db, err := Open(dir, Options{})
	require.NoError(t, err)
	put(t, db, "a", "1")
	_, err = db.Checkpoint(t.Context())
	require.NoError(t, err)
	put(t, db, "b", "2")
	require.NoError(t, db.Close())
	return dir
}

// filesBelow returns the modes and contents of all files below a directory.
func filesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(content)
		}
		found[path] = text
		return nil
	}))
	return found
}

// useInEveryWay opens, checks and repairs the store in a directory, takes a checkpoint and prunes, and returns the errors.
func useInEveryWay(t *testing.T, dir string, log *slog.Logger) (errs []error) {
	t.Helper()
	for _, opts := range []Options{{Logger: log}, {Logger: log, ReadOnly: true}, {Logger: log, ReadOnly: true, Follow: true}} {
		db, err := Open(dir, opts)
		if err == nil && !opts.ReadOnly {
			put(t, db, "c", "3")
			_, checkpointErr := db.Checkpoint(t.Context())
			errs = append(errs, checkpointErr)
		}
		if err == nil {
			err = db.Close()
		}
		errs = append(errs, err)
	}
	found, err := Check(t.Context(), dir, Options{Logger: log})
	for _, violation := range found {
		errs = append(errs, errors.New(violation.String()))
	}
	_, pruneErr := PruneSnapshots(t.Context(), dir, 1, Options{Logger: log})
	_, listErr := Snapshots(dir, Options{})
	view, viewErr := OpenDiskView(t.Context(), dir, Options{Logger: log})
	if viewErr == nil {
		viewErr = view.Close()
	}
	plan, planErr := PlanRepair(t.Context(), dir, Options{Logger: log})
	if planErr == nil {
		planErr = plan.Apply(t.Context())
	}
	return append(errs, err, pruneErr, listErr, viewErr, planErr)
}

// TestALinkInPlaceOfAStoresDirectoryIsNotFollowed hands over a store with a link to a directory of somebody else's, in which names are
// those that a store would replace or remove.
func TestALinkInPlaceOfAStoresDirectoryIsNotFollowed(t *testing.T) {
	for _, name := range []string{walName, snapshotName, quarantineName} {
		t.Run(name, func(t *testing.T) {
			dir, others := closedStore(t), t.TempDir()
			for _, other := range []string{"00000000000000000009.snap", "00000000000000000009.snap.tmp", "00000000000000000002.store.tmp"} {
				require.NoError(t, os.WriteFile(filepath.Join(others, other), []byte("precious"), 0o600))
			}
			require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
			require.NoError(t, os.Symlink(others, filepath.Join(dir, name)))
			before, own := filesBelow(t, others), filesBelow(t, dir)
			for i, err := range useInEveryWay(t, dir, nil) {
				require.ErrorIs(t, err, ErrNotStore, "%d", i)
				require.ErrorContains(t, err, name)
			}
			require.Equal(t, before, filesBelow(t, others))
			require.Equal(t, own, filesBelow(t, dir))
		})
	}
}

// TestNothingOfAPairIsInErrorsAndLogs damages a store and a backup whose pairs are made of four letters, and looks for these letters in
// whatever the library says. Parts of files in the place of others are what a disk leaves that writes to the wrong place.
func TestNothingOfAPairIsInErrorsAndLogs(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	secret := func(n int) string {
		text := make([]byte, n)
		for i := range text {
			text[i] = "QXZJ"[rng.IntN(4)]
		}
		return string(text)
	}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts := Options{Logger: log, SnapshotCompression: snapshot.NoCompression}
	sound := filepath.Join(t.TempDir(), "sound")
	db, err := Open(sound, opts)
	require.NoError(t, err)
	for range 2 {
		for range 20 {
			put(t, db, secret(8), secret(60))
		}
		_, err = db.Checkpoint(t.Context())
		require.NoError(t, err)
		put(t, db, secret(8), secret(60))
	}
	var backup bytes.Buffer
	_, err = db.Backup(t.Context(), &backup)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	files := map[string][]byte{}
	for _, name := range []string{
		"wal/00000000000000000001.store", "wal/00000000000000000001.index",
		"snapshot/00000000000000000020.snap", "snapshot/00000000000000000041.snap",
	} {
		data, err := os.ReadFile(filepath.Join(sound, name))
		require.NoError(t, err)
		files[name] = data
	}
	leaks := regexp.MustCompile("[QXZJ]{3}")
	require.Regexp(t, leaks, backup.String(), "so that there is something to find")
	rounds := 60
	if testing.Short() {
		rounds = 6
	}
	for round := range rounds {
		dir := filepath.Join(t.TempDir(), "store")
		require.NoError(t, os.CopyFS(dir, os.DirFS(sound)))
		for name, data := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), misplaced(rng, data), 0o600))
		}
		errs := useInEveryWay(t, dir, log)
		_, err := Restore(t.Context(), bytes.NewReader(misplaced(rng, backup.Bytes())), filepath.Join(dir, "copy"), RestoreOptions{Logger: log})
		for _, err := range append(errs, err) {
			if err != nil {
				fmt.Fprintln(&said, err)
			}
		}
		require.NotRegexp(t, leaks, said.String(), "seed %d, round %d: put it in place of rand.Uint64 here", seed, round)
	}
}

// misplaced returns a copy with a part cut off, a byte changed, or a part over the beginning, the end or another place.
func misplaced(rng *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	from, n := rng.IntN(len(data)), 1+rng.IntN(100)
	part := bytes.Clone(data[from:min(from+n, len(data))])
	switch rng.IntN(5) {
	case 0:
		return data[:from]
	case 1:
		data[from] ^= 1 << rng.IntN(8)
	case 2:
		copy(data, part)
	case 3:
		copy(data[len(data)-len(part):], part)
	default:
		copy(data[rng.IntN(len(data)):], part)
	}
	return data
}

// hostileStreams are backups and increments with right checksums that an honest program doesn't write. An increment begins after commit 1
// of a store with the identity that is zero.
func hostileStreams(t *testing.T) map[string][]byte {
	t.Helper()
	offset := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	stream := func(h snapshot.Header, entries ...snapshot.Entry) []byte {
		var out bytes.Buffer
		w, err := snapshot.NewWriter(&out, h, snapshot.Options{})
		require.NoError(t, err)
		for _, e := range entries {
			require.NoError(t, w.Add(e.Key, e.Data))
		}
		require.NoError(t, w.Close())
		return out.Bytes()
	}
	state := func(offset uint64, entries ...snapshot.Entry) []byte {
		return stream(snapshot.Header{Kind: kindPairs, Offset: offset}, entries...)
	}
	records := func(last uint64, entries ...snapshot.Entry) []byte {
		return stream(snapshot.Header{Kind: kindRecords, From: 1, Offset: last}, entries...)
	}
	record := func(data string) []byte { return records(2, snapshot.Entry{Key: offset(2), Data: []byte(data)}) }
	const most = math.MaxUint64
	return map[string][]byte{
		"a state after the last commit there can be":     state(most),
		"a state after the last that a log can hold":     state(math.MaxInt64),
		"a replica's state whose last commit is later":   stream(snapshot.Header{Kind: kindReplica, From: 5, Offset: 5}),
		"a state of an unknown kind":                     stream(snapshot.Header{Kind: 99, Offset: 1}),
		"a pair without data":                            state(1, snapshot.Entry{Key: []byte("k")}),
		"a pair without a key":                           state(1, snapshot.Entry{Data: []byte{0}}),
		"a pair with an endless deadline":                state(1, snapshot.Entry{Key: []byte("k"), Data: bytes.Repeat([]byte{0xff}, 20)}),
		"an increment as a backup":                       records(1),
		"a name that leads out of the directory as key":  state(1, snapshot.Entry{Key: []byte("../../outside"), Data: []byte{0, 'v'}}),
		"a record without an offset":                     records(2, snapshot.Entry{Data: []byte("r")}),
		"a record with half an offset":                   records(2, snapshot.Entry{Key: []byte("1234"), Data: []byte("r")}),
		"a record that is the last there can be":         records(most, snapshot.Entry{Key: offset(most), Data: []byte("r")}),
		"a record that leaves out one":                   records(3, snapshot.Entry{Key: offset(3), Data: []byte("r")}),
		"an increment that ends with no record":          records(most),
		"a record of nothing":                            record(""),
		"a record of zeros":                              record(strings.Repeat("\x00", 1<<20)),
		"a mutation that claims four gigabytes":          record("\x12\xff\xff\xff\xff\x0f"),
		"a mutation that claims more than numbers hold":  record("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		"a number that doesn't end":                      record("\x08" + strings.Repeat("\xff", 100)),
		"groups in groups":                               record(strings.Repeat("\x13", 1<<20)),
		"a key that claims more than its mutation":       record("\x12\x06\x08\x01\x12\xff\xff\x03"),
		"a field with the largest number":                record("\xfa\xff\xff\xff\x0f\x01x"),
		"a mutation of an unknown kind":                  record("\x12\x05\x08\x63\x12\x01k"),
		"a decision without an end":                      record("\x12\x08\x08\x04\x32\xff\xff\xff\xff\x0f"),
		"a record with twice as many mutations as bytes": record(strings.Repeat("\x12\x00", 1<<18)),
	}
}

// TestHostileStreamsCostLittle restores each stream as a backup and as an increment. That fails or gives what the stream says, takes no
// more memory than four times the stream, once it is decompressed, and a mebibyte, and leaves nothing but the store.
func TestHostileStreamsCostLittle(t *testing.T) {
	var base bytes.Buffer
	w, err := snapshot.NewWriter(&base, snapshot.Header{Kind: kindPairs, Offset: 1}, snapshot.Options{})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for name, stream := range hostileStreams(t) {
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			before := filesBelow(t, work)
			for i, in := range [][]byte{stream, base.Bytes()} {
				opts := RestoreOptions{}
				if i == 1 {
					opts.Increments = []io.Reader{bytes.NewReader(stream)}
				}
				dir := filepath.Join(work, "a", "store")
				took := allocatedBy(func() { _, err = Restore(t.Context(), bytes.NewReader(in), dir, opts) })
				require.LessOrEqual(t, took, uint64(4*rawSize(t, stream)+1<<20), "%v", err)
				for path := range filesBelow(t, work) {
					_, was := before[path]
					require.True(t, was || strings.HasPrefix(path, filepath.Join(work, "a")), path)
				}
				if err != nil {
					require.Equal(t, before, filesBelow(t, work), "%v", err)
					continue
				}
				db, err := Open(dir, Options{})
				require.NoError(t, err)
				require.NoError(t, db.Close())
				require.NoError(t, os.RemoveAll(filepath.Join(work, "a")))
			}
		})
	}
}

// rawSize returns how many bytes the stream has when it is decompressed.
func rawSize(t *testing.T, stream []byte) int64 {
	t.Helper()
	r, err := snapshot.NewReader(bytes.NewReader(stream), snapshot.Options{})
	require.NoError(t, err)
	for _, err := range r.Entries() {
		require.NoError(t, err)
	}
	return int64(len(stream)) + r.Info().KeyBytes + r.Info().DataBytes
}

// allocatedBy returns how many bytes a function allocates in all.
func allocatedBy(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
