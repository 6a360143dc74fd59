package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// following returns options for a log that follows the one that other options write.
func following(opts Options) Options {
	opts.ReadOnly, opts.Follow = true, true
	return opts
}

// chase is a log that follows another one, whose tracker looks when a test says so.
type chase struct {
	*Log
	tracker *tracker
	now     time.Time
}

func newChase(t testing.TB, dir string, opts Options) *chase {
	t.Helper()
	l, err := Open(dir, following(opts))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return &chase{l, newTracker(l), time.Now()}
}

// look looks after some time has passed.
func (c *chase) look(after time.Duration) error {
	c.now = c.now.Add(after)
	return c.tracker.look(c.now)
}

// lookTwice looks until frames without proof have waited for long enough.
func (c *chase) lookTwice(t testing.TB) {
	t.Helper()
	require.NoError(t, c.look(0))
	require.NoError(t, c.look(max(proofWait, c.tracker.syncTook)))
}

// TestAFollowerShowsWhatItsWriterDoes takes steps of a writer, and looks after each.
func TestAFollowerShowsWhatItsWriterDoes(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		bothDisks(t, func(t *testing.T, fs vfs.FS, dir string) {
			opts := testOptions(fs)
			opts.Sync = mode
			writer, err := Open(dir, opts)
			require.NoError(t, err)
			c := newChase(t, dir, opts)
			require.Zero(t, c.Last(), "an empty log")
			check := func(sentence string) {
				t.Helper()
				c.lookTwice(t)
				require.Equal(t, writer.Last(), c.Last(), sentence)
				requireRecords(t, c.Log, writer.First(), writer.Last())
				require.Equal(t, c.Last(), c.Durable(), sentence)
			}
			fill(t, writer, 3)
			check("a few records")
			fill(t, writer, 400)
			check("many segments")
			require.NoError(t, writer.TruncateFront(300))
			check("the front is truncated")
			require.Len(t, c.Segments(), len(writer.Segments()))
			require.NoError(t, writer.Close())
			check("a clean close")
			writer, err = Open(dir, opts)
			require.NoError(t, err)
			check("opened again")
			fill(t, writer, 420)
			check("records after that")
			require.NoError(t, writer.Reset(1000))
			require.ErrorIs(t, c.look(placeEvery+1), ErrDiverged)
			require.NoError(t, writer.Close())
		})
	}
}

// TestAFollowerWaitsForProof: it shows what a later frame proves at once, and the rest after a sync of its own.
func TestAFollowerWaitsForProof(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	writer := openTest(t, opts)
	fill(t, writer, 1)
	c := newChase(t, testDir, opts)
	syncs := 0
	mem.SetHook(func(call vfs.Call) error {
		if call.Op == vfs.OpSync {
			syncs++
		}
		return nil
	})
	fill(t, writer, 3)
	syncs = 0
	require.NoError(t, c.look(0))
	require.EqualValues(t, 2, c.Last(), "the third record's frame proves the second durable")
	require.EqualValues(t, 4, c.tracker.ahead.next, "it has seen the third")
	require.NoError(t, c.look(proofWait/2))
	require.EqualValues(t, 2, c.Last())
	require.NoError(t, c.look(proofWait/2))
	require.EqualValues(t, 3, c.Last())
	require.Equal(t, 1, syncs)
	require.NoError(t, c.look(proofWait))
	require.Equal(t, 1, syncs, "there is nothing to sync")

	fill(t, writer, 4)
	mem.SetHook(func(call vfs.Call) error {
		if call.Op == vfs.OpSync {
			return errDisk
		}
		return nil
	})
	require.NoError(t, c.look(0))
	require.ErrorIs(t, c.look(proofWait), ErrFailed)
	mem.SetHook(nil)
	require.ErrorIs(t, c.look(proofWait), ErrFailed, "it isn't tried again")
	require.EqualValues(t, 3, c.Last())
}

// TestAFollowerShowsNothingThatAPowerCutTakes looks at each changing call of a writer that does everything, and then cuts the power.
func TestAFollowerShowsNothingThatAPowerCutTakes(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			mem := vfs.NewMem()
			opts := testOptions(mem)
			opts.Sync = mode
			writer := openTest(t, opts)
			fill(t, writer, 1)
			c := newChase(t, testDir, opts)
			inside, cuts := false, uint64(0)
			mem.SetHook(func(call vfs.Call) error {
				if inside || !call.Op.Changes() {
					return nil
				}
				inside = true
				defer func() { inside = false }()
				cuts++
				require.NoError(t, c.look(proofWait*time.Duration(cuts%3)), "call %d, %v %s", call.N, call.Op, call.Name)
				if cuts%5 != 0 {
					return nil
				}
				for _, policy := range vfs.Policies {
					again, err := Open(testDir, testOptions(mem.Crash(cuts, policy)))
					require.NoError(t, err)
					require.GreaterOrEqual(t, again.Last(), c.Last(), "call %d, %v %s, %v", call.N, call.Op, call.Name, policy)
					require.NoError(t, again.Close())
				}
				return nil
			})
			for range 3 {
				fill(t, writer, writer.Last()+60)
				prepared, err := writer.Prepare(payloadOf(writer.Last() + 1))
				require.NoError(t, err)
				_, _, err = writer.SubmitPrepared(prepared, payloadOf(writer.Last()+1))
				require.NoError(t, err)
				require.NoError(t, writer.Sync())
				require.NoError(t, writer.TruncateFront(writer.Last()-30))
				require.NoError(t, writer.Close())
				writer = openTest(t, opts)
			}
			mem.SetHook(nil)
			require.Greater(t, cuts, uint64(100))
			c.lookTwice(t)
			requireRecords(t, c.Log, writer.First(), writer.Last())
		})
	}
}

// TestAFollowerOfAWriterThatDies: what was torn is no damage, what is mended is read, also where other frames take the place of those that
// were read ahead.
func TestAFollowerOfAWriterThatDies(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	writer := openTest(t, opts)
	fill(t, writer, 5)
	c := newChase(t, testDir, opts)
	s := writer.segments.active().store
	path, end := s.path, s.end
	data := must(mem.ReadFile(path))
	fill(t, writer, 6)
	require.NoError(t, c.look(0))
	require.EqualValues(t, 7, c.tracker.ahead.next)
	require.EqualValues(t, 5, c.Last())

	torn := slices.Clone(data)
	copy(torn[end:], "torn")
	require.NoError(t, mem.WriteFile(path, torn))
	writer = openTest(t, opts)
	require.Equal(t, Torn, writer.Recovery().Outcome)
	for _, payload := range [][]byte{payloadOf(6)[1:], payloadOf(7), payloadOf(8)} {
		_, err := writer.Append(payload)
		require.NoError(t, err)
	}
	for range 4 {
		require.NoError(t, c.look(proofWait))
	}
	require.EqualValues(t, 8, c.Last())
	payload, err := c.Read(6)
	require.NoError(t, err)
	require.Equal(t, payloadOf(6)[1:], payload)
	for range 20 {
		require.NoError(t, c.look(endMin))
	}
}

// TestAFollowerSyncsWhatItHasRead: frames of the same size that take the place of others just before the sync are not what it made durable.
func TestAFollowerSyncsWhatItHasRead(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	writer := openTest(t, opts)
	fill(t, writer, 5)
	c := newChase(t, testDir, opts)
	s := writer.segments.active().store
	before := must(mem.ReadFile(s.path))
	fill(t, writer, 6)
	require.NoError(t, c.look(0))
	require.NoError(t, mem.WriteFile(s.path, before))
	writer = openTest(t, opts)
	other := bytes.ToUpper(payloadOf(6))
	_, err := writer.Append(other)
	require.NoError(t, err)
	require.NoError(t, c.look(proofWait))
	require.EqualValues(t, 5, c.Last())
	c.lookTwice(t)
	require.EqualValues(t, 6, c.Last())
	require.Equal(t, other, must(c.Read(6)))
	fill(t, writer, 200)
	c.lookTwice(t)
	require.EqualValues(t, 200, c.Last())
}

// TestAFollowerTellsDamageFromATornTail, also where the file is cut.
func TestAFollowerTellsDamageFromATornTail(t *testing.T) {
	for _, test := range []struct {
		sentence string
		damage   func(data []byte, at, end int64) []byte
		want     error
	}{
		{"bytes after the end that nothing proves", func(data []byte, _, end int64) []byte { data[end+8] = 1; return data }, nil},
		{"a record that a later one proves", func(data []byte, at, _ int64) []byte { data[at] ^= 1; return data }, ErrCorrupt},
		{"a payload that a later record proves", func(data []byte, at, _ int64) []byte { data[at+frameHeadSize] ^= 1; return data }, ErrCorrupt},
		{"a file that was cut", func(data []byte, at, _ int64) []byte { return data[:at] }, ErrCorrupt},
		{"a file that was cut in what was shown", func(data []byte, at, _ int64) []byte { return data[:at-8] }, ErrCorrupt},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			mem := vfs.NewMem()
			opts := testOptions(mem)
			writer := openTest(t, opts)
			fill(t, writer, 5)
			c := newChase(t, testDir, opts)
			s := writer.segments.active().store
			at := s.end
			fill(t, writer, 8)
			require.NoError(t, mem.WriteFile(s.path, test.damage(must(mem.ReadFile(s.path)), at, s.end)))
			var err error
			for range 6 {
				err = errors.Join(err, c.look(endMin))
			}
			require.ErrorIs(t, err, test.want)
			if test.want != nil {
				require.EqualValues(t, 5, c.Last())
			}
		})
	}
}

// TestAFollowerThatTheFrontOvertakes goes on with what there is, and its readers get ErrTruncated.
func TestAFollowerThatTheFrontOvertakes(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	writer := openTest(t, opts)
	fill(t, writer, 5)
	c := newChase(t, testDir, opts)
	fill(t, writer, 500)
	require.NoError(t, writer.TruncateFront(400))
	c.lookTwice(t)
	requireRecords(t, c.Log, writer.First(), 500)
	requireEnd(t, c.Follow(t.Context(), 6), ErrTruncated)
	fill(t, writer, 520)
	c.lookTwice(t)
	requireRecords(t, c.Log, writer.First(), 520)
}

// TestAFollowerGoesOnAfterAMarkThatItNeverRead: the segment with the mark is gone before a look at the directory.
func TestAFollowerGoesOnAfterAMarkThatItNeverRead(t *testing.T) {
	for _, cuts := range []bool{false, true} {
		t.Run(fmt.Sprint("cuts ", cuts), func(t *testing.T) {
			mem := vfs.NewMem()
			opts := testOptions(mem)
			writer := openTest(t, opts)
			fill(t, writer, 130)
			c := newChase(t, testDir, opts)
			c.lookTwice(t)
			require.EqualValues(t, 130, c.Last())
			listed := false
			mem.SetHook(func(call vfs.Call) error {
				if call.Op != vfs.OpList || listed {
					return nil
				}
				listed = true
				require.NoError(t, writer.TruncateFront(writer.Segments()[1].Base), "it lays a mark")
				_, err := writer.Append(make([]byte, 2*opts.SegmentSize))
				require.NoError(t, err, "it rolls")
				if cuts {
					require.NoError(t, writer.TruncateBack(130))
				}
				require.NoError(t, writer.TruncateFront(131))
				return nil
			})
			require.NoError(t, c.look(placeEvery+1))
			require.True(t, listed)
			require.EqualValues(t, 131, writer.Segments()[0].Base, "the segment that was read last is gone")
			fill(t, writer, 140)
			c.lookTwice(t)
			require.Equal(t, writer.Last(), c.Last())
			require.EqualValues(t, 131, c.First())
			for offset := c.First(); offset <= c.Last(); offset++ {
				require.Equal(t, must(writer.Read(offset)), must(c.Read(offset)))
			}
		})
	}
}

// TestAFollowerNoticesAnotherLogInThePlaceOfItsOwn, or none.
func TestAFollowerNoticesAnotherLogInThePlaceOfItsOwn(t *testing.T) {
	for _, test := range []struct {
		sentence string
		change   func(t *testing.T, writer *Log, opts Options)
		want     error
	}{
		{"nothing", func(*testing.T, *Log, Options) {}, nil},
		{"another log", func(t *testing.T, writer *Log, opts Options) {
			require.NoError(t, errors.Join(writer.Close(), os.RemoveAll(writer.dir)))
			other, err := Open(writer.dir, opts)
			require.NoError(t, err)
			fill(t, other, 50)
			require.NoError(t, other.Close())
		}, ErrDiverged},
		{"no directory", func(t *testing.T, writer *Log, _ Options) {
			require.NoError(t, errors.Join(writer.Close(), os.RemoveAll(writer.dir)))
		}, fs.ErrNotExist},
		{"records cut that were shown", func(t *testing.T, writer *Log, _ Options) {
			require.NoError(t, writer.TruncateBack(30))
			fill(t, writer, 50)
		}, ErrDiverged},
		{"a segment of a newer format", func(t *testing.T, writer *Log, _ Options) {
			require.NoError(t, os.WriteFile(filepath.Join(writer.dir, storeName(writer.Last()+1)), newerHead(), 0o600))
		}, ErrVersion},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			opts := testOptions(vfs.OS)
			writer, err := Open(dir, opts)
			require.NoError(t, err)
			fill(t, writer, 40)
			c := newChase(t, dir, opts)
			test.change(t, writer, opts)
			for range 4 {
				err = errors.Join(err, c.look(placeEvery+1))
			}
			require.ErrorIs(t, err, test.want)
			if test.want == nil {
				requireRecords(t, c.Log, 1, writer.Last())
			} else {
				requireRecords(t, c.Log, 1, 40)
			}
		})
	}
}

// TestAFollowerGoesOnInACopyThatTakesThePlaceOfItsLog, where that has what was shown: a file copy has the same salts.
func TestAFollowerGoesOnInACopyThatTakesThePlaceOfItsLog(t *testing.T) {
	const shown = 118 // Not the first of a segment, nor its last.
	for _, test := range []struct {
		sentence string
		copied   uint64 // How many records the log has when it is copied,
		added    uint64 // and up to which offset a writer of the copy goes on.
		want     error
	}{
		{"of the same moment, without a writer", shown, 0, nil},
		{"of the same moment, goes on", shown, 124, nil},
		{"of the same moment, rolls", shown, 300, nil},
		{"of before", 115, 0, ErrDiverged},
		{"of before, goes on differently", 115, 124, ErrDiverged},
		{"of before, rolls", 115, 300, ErrDiverged},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			bothDisks(t, func(t *testing.T, fsys vfs.FS, dir string) {
				opts := testOptions(fsys)
				writer, err := Open(dir, opts)
				require.NoError(t, err)
				fill(t, writer, test.copied)
				copied := filesOf(t, fsys, dir)
				fill(t, writer, shown)
				c := newChase(t, dir, opts)
				require.NoError(t, writer.Close())
				if test.want == nil {
					copied = filesOf(t, fsys, dir)
				}
				takePlace(t, fsys, dir, copied)
				if test.added > 0 {
					writer, err = Open(dir, opts)
					require.NoError(t, err)
					for next := writer.Last() + 1; next <= test.added; next++ {
						_, err := writer.Append(append(payloadOf(next), "of the copy"...))
						require.NoError(t, err)
					}
				}
				err = c.look(placeEvery + 1)
				if test.want != nil {
					require.ErrorIs(t, err, test.want)
					requireRecords(t, c.Log, 1, shown)
					return
				}
				require.NoError(t, err)
				c.lookTwice(t)
				require.Equal(t, max(uint64(shown), test.added), c.Last())
				for offset := uint64(1); offset <= c.Last(); offset++ {
					want := payloadOf(offset)
					if offset > shown {
						want = append(want, "of the copy"...)
					}
					require.Equal(t, want, must(c.Read(offset)))
				}
				active := c.segments.activeStore.Load()
				require.NoError(t, c.look(placeEvery+1))
				require.Same(t, active, c.segments.activeStore.Load(), "it is in its place now")
				if test.added > 0 {
					require.NoError(t, writer.Close())
				}
				requireDurableAndClose(t, fsys, c)
			})
		})
	}
}

// requireDurableAndClose cuts the power of a disk in memory, and closes the follower, which must give every file back.
func requireDurableAndClose(t *testing.T, fsys vfs.FS, c *chase) {
	t.Helper()
	if mem, ok := fsys.(*vfs.Mem); ok {
		again, err := Open(c.dir, testOptions(mem.Crash(1, vfs.KeepNone)))
		require.NoError(t, err)
		require.GreaterOrEqual(t, again.Last(), c.Last())
		require.NoError(t, errors.Join(again.Close(), c.Close()))
		require.Empty(t, mem.InUse())
	}
}

// filesOf returns what is in the files of a directory.
func filesOf(t *testing.T, fsys vfs.FS, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, entry := range must(fsys.List(dir)) {
		file, err := fsys.OpenRead(joinName(dir, entry.Name))
		require.NoError(t, err)
		data := make([]byte, entry.Size)
		_, err = file.ReadAt(data, 0)
		require.NoError(t, err)
		require.NoError(t, file.Close())
		files[entry.Name] = data
	}
	return files
}

// takePlace puts files in the place of those in a directory, as cp and mv do: nothing of it is synced.
func takePlace(t *testing.T, fsys vfs.FS, dir string, files map[string][]byte) {
	t.Helper()
	for _, entry := range must(fsys.List(dir)) {
		require.NoError(t, fsys.Remove(joinName(dir, entry.Name)))
	}
	for name, data := range files {
		file, err := fsys.Create(joinName(dir, name))
		require.NoError(t, err)
		_, err = file.WriteAt(data, 0)
		require.NoError(t, errors.Join(err, file.Close()))
	}
}

// newerHead returns a store's header of the next format.
func newerHead() []byte {
	head := storeHead{salt: 1, base: 1, first: 1}.appendTo(nil)
	head[headVersionAt] = storeVersion + 1
	return resum(head)
}

// TestAFollowerBesideAWriterAtWork runs by itself while a writer appends, rolls, truncates, closes and opens, and readers follow both.
func TestAFollowerBesideAWriterAtWork(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			dir := t.TempDir()
			opts := testOptions(vfs.OS)
			opts.Sync, opts.foreground, opts.SegmentSize = mode, false, 16<<10
			writer, err := Open(dir, opts)
			require.NoError(t, err)
			follower, err := Open(dir, following(opts))
			require.NoError(t, err)
			const last = 3000
			var readers sync.WaitGroup
			for range 2 {
				readers.Go(func() {
					want := uint64(1)
					for record, err := range follower.Follow(t.Context(), 1) {
						if errors.Is(err, ErrTruncated) {
							return
						}
						if err != nil || record.Offset != want || string(record.Payload) != string(payloadOf(want)) {
							t.Errorf("offset %d, want %d: %v", record.Offset, want, err)
							return
						}
						if want++; record.Offset == last {
							return
						}
					}
				})
			}
			for writer.Last() < last {
				fill(t, writer, writer.Last()+300)
				require.Eventually(t, func() bool { return follower.Last() == writer.Last() }, 20*time.Second, time.Millisecond)
				require.NoError(t, writer.TruncateFront(writer.Last()-200))
				require.NoError(t, writer.Close())
				writer, err = Open(dir, opts)
				require.NoError(t, err)
			}
			readers.Wait()
			require.NoError(t, follower.Stats().Failed)
			require.NoError(t, errors.Join(follower.Close(), writer.Close()))
			requireEnd(t, follower.Follow(context.Background(), last+1), ErrClosed)
		})
	}
}

func TestWhatEndsFollowing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	opts := testOptions(vfs.OS)
	_, err := Open(dir, Options{Follow: true})
	require.ErrorContains(t, err, "option Follow")
	writer, err := Open(dir, opts)
	require.NoError(t, err)
	fill(t, writer, 10)
	opts.foreground = false
	enough := fmt.Errorf("enough")
	for _, test := range []struct {
		sentence string
		looked   error
		during   func()
		want     error
	}{
		{"what Looked returns", enough, func() {}, enough},
		{"the directory vanishes", nil, func() { require.NoError(t, errors.Join(writer.Close(), os.RemoveAll(dir))) }, fs.ErrNotExist},
	} {
		opts.Looked = func(uint64, time.Time) error { return test.looked }
		l, err := Open(dir, following(opts))
		require.NoError(t, err)
		test.during()
		require.Len(t, requireEnd(t, l.Follow(t.Context(), 1), test.want), 10, test.sentence)
		require.ErrorIs(t, l.Stats().Failed, test.want)
		requireRecords(t, l, 1, 10)
		require.NoError(t, l.Close())
	}
}
