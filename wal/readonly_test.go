package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// readOnly returns options for a look at the log that other options write.
func readOnly(opts Options) Options {
	opts.ReadOnly = true
	return opts
}

func TestReadOnlyRefusesToWrite(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	l := openTest(t, opts)
	fill(t, l, 100)
	require.NoError(t, l.Close())
	l = openTest(t, readOnly(opts))
	_, err := l.Append(nil)
	require.ErrorIs(t, err, ErrReadOnly)
	_, err = l.AppendBatch([][]byte{nil})
	require.ErrorIs(t, err, ErrReadOnly)
	_, _, err = l.Submit(nil)
	require.ErrorIs(t, err, ErrReadOnly)
	require.NoError(t, l.Sync(), "it makes durable what was read, and changes nothing")
	for _, err := range []error{l.TruncateFront(50), l.TruncateBack(50), l.Reset(1)} {
		require.ErrorIs(t, err, ErrReadOnly)
	}
	requireRecords(t, l, 1, 100)
	require.Len(t, requireEnd(t, l.Follow(t.Context(), 1), ErrReadOnly), 100, "a log that is only read doesn't grow")
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Close(), ErrClosed)
}

// TestReadOnlyChangesNothing opens logs in every state for reading, and watches the calls.
func TestReadOnlyChangesNothing(t *testing.T) {
	for _, state := range []struct {
		sentence string
		make     func(t *testing.T, mem *vfs.Mem) *vfs.Mem
		outcome  Outcome
	}{
		{"a log that was closed", func(t *testing.T, mem *vfs.Mem) *vfs.Mem {
			l := openTest(t, testOptions(mem))
			fill(t, l, 100)
			require.NoError(t, l.Close())
			return mem
		}, Clean},
		{"a log that is open", func(t *testing.T, mem *vfs.Mem) *vfs.Mem { fill(t, openTest(t, testOptions(mem)), 100); return mem }, Unclean},
		{"a log without its indexes", func(t *testing.T, mem *vfs.Mem) *vfs.Mem {
			fill(t, openTest(t, testOptions(mem)), 100)
			for _, name := range mem.Names() {
				if isIndexFile(name) {
					require.NoError(t, mem.Remove(name))
				}
			}
			return mem
		}, Unclean},
		{"a log with a torn tail", func(t *testing.T, mem *vfs.Mem) *vfs.Mem {
			l := openTest(t, testOptions(mem))
			fill(t, l, 100)
			name, end := l.segments.active().store.path, l.segments.active().store.end
			data, err := mem.ReadFile(name)
			require.NoError(t, err)
			data[end] = 1
			require.NoError(t, mem.WriteFile(name, data))
			return mem
		}, Torn},
		{"a log whose truncation died", func(t *testing.T, mem *vfs.Mem) *vfs.Mem {
			l := openTest(t, testOptions(mem))
			fill(t, l, 120)
			var died *vfs.Mem
			mem.SetHook(func(c vfs.Call) error {
				if c.Op == vfs.OpRemove && died == nil {
					died = mem.Exit()
				}
				return nil
			})
			require.NoError(t, l.TruncateBack(100))
			return died
		}, Unclean},
	} {
		t.Run(state.sentence, func(t *testing.T) {
			mem := state.make(t, vfs.NewMem())
			before := contents(t, mem)
			mem.SetHook(func(c vfs.Call) error {
				if c.Op.Changes() {
					t.Errorf("%s of %s", c.Op, c.Name)
				}
				return nil
			})
			l := openTest(t, readOnly(testOptions(mem)))
			require.Equal(t, state.outcome, l.Recovery().Outcome)
			requireRecords(t, l, 1, 100)
			_, err := Check(testDir, testOptions(mem))
			require.NoError(t, err)
			require.NoError(t, l.Close())
			require.Equal(t, before, contents(t, mem))
		})
	}
}

// TestReadOnlyKeepsWhatItOpened: what a writer does afterwards takes nothing away and adds nothing.
func TestReadOnlyKeepsWhatItOpened(t *testing.T) {
	bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
		opts := testOptions(fs)
		writer, err := Open(dir, opts)
		require.NoError(t, err)
		fill(t, writer, 100)
		reader, err := Open(dir, readOnly(opts))
		require.NoError(t, err)
		fill(t, writer, 200)
		require.NoError(t, writer.TruncateFront(150))
		require.NoError(t, writer.TruncateBack(160))
		requireRecords(t, reader, 1, 100)
		require.NoError(t, writer.Close())
		requireRecords(t, reader, 1, 100)
		require.NoError(t, reader.Close())
	})
}

// TestReadOnlyBesideALiveWriter opens a log for reading again and again while it is being written to, rolled, and
// truncated at both ends. Each look must find a whole log with everything that was acknowledged when it began.
func TestReadOnlyBesideALiveWriter(t *testing.T) {
	workloads := []struct {
		sentence string
		step     func(t *testing.T, l *Log) *Log
	}{
		{"appending and truncating the front", func(t *testing.T, l *Log) *Log {
			fill(t, l, l.Last()+20)
			if l.Last() > 100 {
				require.NoError(t, l.TruncateFront(l.Last()-60))
			}
			return l
		}},
		{"truncating the end", func(t *testing.T, l *Log) *Log {
			fill(t, l, l.Last()+50)
			require.NoError(t, l.TruncateBack(l.Last()-50))
			fill(t, l, l.Last()+1)
			return l
		}},
		{"closing and opening again", func(t *testing.T, l *Log) *Log {
			fill(t, l, l.Last()+15)
			require.NoError(t, l.Close())
			again, err := Open(l.dir, l.opts)
			require.NoError(t, err)
			return again
		}},
	}
	for _, workload := range workloads {
		for _, mode := range []SyncMode{SyncAlways, SyncNever} {
			t.Run(fmt.Sprintf("%s/%s", workload.sentence, mode), func(t *testing.T) {
				bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
					opts := testOptions(fs)
					opts.Sync = mode
					steps := 200
					if fs == vfs.OS {
						steps = 50 // A real disk takes its time.
					}
					if fs == vfs.OS && mode == SyncAlways {
						steps = 10 // Each costs many syncs.
					}
					if testing.Short() {
						steps /= 5
					}
					writeBesideReaders(t, dir, opts, steps, workload.step)
				})
			})
		}
	}
}

// writeBesideReaders takes steps while somebody looks. What was acknowledged is told to them, unless it may go again.
func writeBesideReaders(t *testing.T, dir string, opts Options, steps int, step func(t *testing.T, l *Log) *Log) {
	l, err := Open(dir, opts)
	require.NoError(t, err)
	fill(t, l, 1)
	var acknowledged atomic.Uint64
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	readers.Go(func() { lookUntil(ctx, t, dir, readOnly(opts), &acknowledged) })
	for range steps {
		l = step(t, l)
		if l.segments.epoch.Load() == 0 {
			acknowledged.Store(l.Last())
		}
	}
	cancel()
	readers.Wait()
	require.NoError(t, l.Close())
}

// lookUntil opens a log for reading until the context ends, and reads all of it.
func lookUntil(ctx context.Context, t *testing.T, dir string, opts Options, acknowledged *atomic.Uint64) {
	for looks := 0; ctx.Err() == nil || looks == 0; looks++ {
		least := acknowledged.Load()
		l, err := Open(dir, opts)
		if err != nil {
			t.Errorf("look %d: %v", looks, err)
			return
		}
		next := l.First()
		for record, err := range l.Records(next) {
			if err != nil || record.Offset != next || string(record.Payload) != string(payloadOf(next)) {
				t.Errorf("look %d: offset %d instead of %d, %q, %v", looks, record.Offset, next, record.Payload, err)
				break
			}
			next++
		}
		if next <= least {
			t.Errorf("look %d ends with %d, acknowledged was %d", looks, next-1, least)
		}
		if err := l.Close(); err != nil {
			t.Errorf("look %d: close: %v", looks, err)
		}
	}
}

// TestReadOnlyReadsADamagedLogUpToTheDamage damages one byte of each segment's store in turn, of the header and of the
// frames.
func TestReadOnlyReadsADamagedLogUpToTheDamage(t *testing.T) {
	whole := newSpecimen(t, true)
	l := openTest(t, readOnly(testOptions(whole.mem)))
	segments := l.Segments()
	require.NoError(t, l.Close())
	for _, segment := range segments {
		for _, at := range []int{headBaseAt, headSize + 2, int(segment.Bytes) / 2} {
			mem := whole.mem.Clone()
			require.NoError(t, mem.WriteFile(segment.Path, flip(must(mem.ReadFile(segment.Path)), at*8)))
			before := contents(t, mem)
			l, err := Open(testDir, readOnly(testOptions(mem)))
			if at == headBaseAt && segment.Base == 1 {
				requireCorrupt(t, err, segment.Path)
				continue // Nothing comes before it.
			}
			require.NoError(t, err)
			last := uint64(0)
			for record, err := range l.Records(1) {
				if err != nil {
					requireCorrupt(t, err, segment.Path)
					last = record.Offset
					break
				}
				last++
				require.Equal(t, last, record.Offset)
				require.Equal(t, string(whole.payloads[last-1]), string(record.Payload))
			}
			require.Zero(t, last, "reading ends with the damage")
			require.NoError(t, l.Close())
			require.Equal(t, before, contents(t, mem))
		}
	}
}

// requireCorrupt checks that an error says that a file is damaged, and returns it.
func requireCorrupt(t testing.TB, err error, path string) *CorruptError {
	t.Helper()
	require.ErrorIs(t, err, ErrCorrupt)
	var damage *CorruptError
	require.True(t, errors.As(err, &damage))
	require.Equal(t, path, damage.Path, "%v", err)
	require.ErrorContains(t, err, path)
	return damage
}

// TestAReaderSyncsTheNameOfWhatItShows: a prepared record is durable before its file's name is.
func TestAReaderSyncsTheNameOfWhatItShows(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	writer := openTest(t, opts)
	fill(t, writer, 1)
	prepared, err := writer.Prepare(payloadOf(2))
	require.NoError(t, err)
	named, seen := false, false
	mem.SetHook(func(call vfs.Call) error {
		if named = named || call.Op == vfs.OpRename; !named || seen || call.Op != vfs.OpSyncDir {
			return nil
		}
		seen = true
		reader, err := Open(testDir, readOnly(opts))
		require.NoError(t, err)
		require.NoError(t, reader.Sync())
		require.EqualValues(t, 2, reader.Durable())
		for seed := range uint64(20) {
			again, err := Open(testDir, testOptions(mem.Crash(seed, vfs.TornTail)))
			require.NoError(t, err)
			requireRecords(t, again, 1, 2)
			require.NoError(t, again.Close())
		}
		return reader.Close()
	})
	_, _, err = writer.SubmitPrepared(prepared, payloadOf(2))
	require.NoError(t, err)
	require.True(t, seen)
}

func TestReadOnlyNeedsNoPermissionToWrite(t *testing.T) {
	dir := t.TempDir()
	opts := testOptions(vfs.OS)
	l, err := Open(dir, opts)
	require.NoError(t, err)
	fill(t, l, 100)
	require.NoError(t, l.Close())
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, os.Chmod(name, 0o400))
	}
	require.NoError(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	l, err = Open(dir, readOnly(opts))
	require.NoError(t, err)
	requireRecords(t, l, 1, 100)
	require.NoError(t, l.Close())
}

// blindFS is a disk whose first listings show nothing, as a directory may whose only names come and go meanwhile.
type blindFS struct {
	vfs.FS
	blind int
}

func (f *blindFS) List(dir string) ([]vfs.Entry, error) {
	if f.blind--; f.blind >= 0 {
		return nil, nil
	}
	return f.FS.List(dir)
}

func TestReadOnlyLooksAgainAtADirectoryThatSeemsEmpty(t *testing.T) {
	opts := testOptions(vfs.NewMem())
	l := openTest(t, opts)
	fill(t, l, 10)
	opts.FS = &blindFS{FS: opts.FS, blind: 2}
	l = openTest(t, readOnly(opts))
	requireRecords(t, l, 1, 10)
	require.NoError(t, l.Close())
}

// TestOnlyAnOpenThatMendsWarns opens a log that was not closed, first for reading, as beside a live writer, and then for writing.
func TestOnlyAnOpenThatMendsWarns(t *testing.T) {
	s := newScene(t)
	s.remove(s.index(0))
	for _, readOnly := range []bool{true, false} {
		var logged bytes.Buffer
		opts := testOptions(s.mem)
		opts.ReadOnly, opts.Logger = readOnly, slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		l, err := Open(testDir, opts)
		require.NoError(t, err)
		require.Equal(t, !readOnly, strings.Contains(logged.String(), `level=WARN msg="log opened"`), logged.String())
		require.Contains(t, logged.String(), "log opened")
		require.NoError(t, l.Close())
	}
}
