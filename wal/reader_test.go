package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestRecordsStartAnywhere(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	fill(t, l, 100)
	for from := uint64(1); from <= 101; from++ {
		next := from
		for record, err := range l.Records(from) {
			require.NoError(t, err)
			require.Equal(t, next, record.Offset)
			require.Equal(t, payloadOf(next), record.Payload)
			next++
		}
		require.EqualValues(t, 101, next)
	}
	for range l.Records(1000) {
		t.Fatal("there is no record so far past the end")
	}
	requireEnd(t, l.Records(0), ErrTruncated)
	require.NoError(t, l.Close())
}

// requireEnd checks that an iterator ends with an error of a kind, and returns the records before it.
func requireEnd(t testing.TB, records iter.Seq2[Record, error], want error) (offsets []uint64) {
	t.Helper()
	ended := false
	for record, err := range records {
		require.False(t, ended, "an error is the last thing that is given")
		if ended = err != nil; ended {
			require.ErrorIs(t, err, want)
			continue
		}
		require.Equal(t, payloadOf(record.Offset), record.Payload)
		offsets = append(offsets, record.Offset)
	}
	require.True(t, ended, "it should end with %v", want)
	return offsets
}

func TestRecordsAppendedMeanwhileAreRead(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	fill(t, l, 1)
	last := uint64(0)
	for record, err := range l.Records(1) {
		require.NoError(t, err)
		require.Equal(t, payloadOf(record.Offset), record.Payload)
		if last = record.Offset; last < 200 {
			fill(t, l, last+1)
		}
	}
	require.EqualValues(t, 200, last)
	require.NoError(t, l.Close())
}

// TestReadersGiveSegmentsBack: a reader that stops, wherever it does, keeps no segment open.
func TestReadersGiveSegmentsBack(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	fill(t, l, 100)
	for stop := uint64(1); stop <= 100; stop++ {
		for record := range l.Records(1) {
			if record.Offset == stop {
				break
			}
		}
	}
	_, err := l.Read(50)
	require.NoError(t, err)
	for _, segment := range l.segments.list {
		require.EqualValues(t, 1, segment.users.Load(), "only the log uses it")
	}
	require.NoError(t, l.Close())
}

func TestReaderFinishesATruncatedSegment(t *testing.T) {
	mem := vfs.NewMem()
	l := openTest(t, testOptions(mem))
	fill(t, l, 100)
	second := l.Segments()[1].Base
	removed := l.segments.list[0]
	next, stop := iter.Pull2(l.Records(1))
	defer stop()
	record, err, _ := next()
	require.NoError(t, err)
	require.EqualValues(t, 1, record.Offset)

	require.NoError(t, l.TruncateFront(l.Last()))
	_, err = mem.ReadFile(joinName(testDir, storeName(1)))
	require.Error(t, err, "the file's name is gone")
	_, err = l.Read(2)
	require.ErrorIs(t, err, ErrTruncated)
	for want := uint64(2); want < second; want++ {
		record, err, _ = next()
		require.NoError(t, err)
		require.Equal(t, want, record.Offset)
		require.Equal(t, payloadOf(want), record.Payload)
	}
	_, err, _ = next()
	require.ErrorIs(t, err, ErrTruncated)
	_, _, more := next()
	require.False(t, more)
	require.Zero(t, removed.users.Load(), "nobody has the removed segment open any more")
	require.NoError(t, l.Close())
}

func TestReaderEndsWhenTheLogIsClosed(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	fill(t, l, 100)
	next, stop := iter.Pull2(l.Records(1))
	defer stop()
	_, err, _ := next()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for err == nil {
		_, err, _ = next()
	}
	require.ErrorIs(t, err, ErrClosed)
}

func TestFollowYieldsWhatIsAcknowledged(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		synctest.Test(t, func(t *testing.T) {
			opts := testOptions(vfs.NewMem())
			opts.Sync = mode
			l := openTest(t, opts)
			var seen atomic.Uint64
			var follower sync.WaitGroup
			follower.Go(func() {
				for record, err := range l.Follow(t.Context(), 1) {
					if err != nil {
						require.ErrorIs(t, err, ErrClosed)
						return
					}
					seen.Store(record.Offset)
				}
			})
			offset, _, err := l.Submit(payloadOf(1))
			require.NoError(t, err)
			synctest.Wait()
			require.Equal(t, l.Last(), seen.Load(), "in the default mode a power cut could still take it")
			require.NoError(t, l.Wait(offset))
			synctest.Wait()
			require.EqualValues(t, 1, seen.Load())
			fill(t, l, 5)
			synctest.Wait()
			require.EqualValues(t, 5, seen.Load())
			require.NoError(t, l.Close())
			follower.Wait()
		})
	}
}

func TestFollowEndsSayingWhy(t *testing.T) {
	errTold := errors.New("enough")
	tests := []struct {
		sentence string
		end      func(l *Log, mem *vfs.Mem, cancel context.CancelCauseFunc)
		want     error
	}{
		{"the context is cancelled", func(_ *Log, _ *vfs.Mem, cancel context.CancelCauseFunc) { cancel(errTold) }, context.Canceled},
		{"the log is closed", func(l *Log, _ *vfs.Mem, _ context.CancelCauseFunc) { _ = l.Close() }, ErrClosed},
		{"the log fails", func(l *Log, mem *vfs.Mem, _ context.CancelCauseFunc) {
			mem.SetHook(vfs.FailNth(vfs.OpSync, 1, errDisk))
			_, _ = l.Append(nil)
		}, ErrFailed},
	}
	for _, test := range tests {
		t.Run(test.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := vfs.NewMem()
				l := openTest(t, testOptions(mem))
				fill(t, l, 50)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				var offsets []uint64
				var follower sync.WaitGroup
				follower.Go(func() { offsets = requireEnd(t, l.Follow(ctx, 1), test.want) })
				synctest.Wait()
				test.end(l, mem, cancel)
				follower.Wait()
				require.Len(t, offsets, 50)
			})
		})
	}
}

// TestFollowersSeeEachRecordOnceInOrder has writers, rolls and followers all at once.
func TestFollowersSeeEachRecordOnceInOrder(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			opts := Options{FS: vfs.NewMem(), SegmentSize: MinSegmentSize, Sync: mode, SyncInterval: 1, IdleMark: 1}
			l := openTest(t, opts)
			const writers, each = 4, 200
			payloads := make([]string, writers*each+1)
			var followers, writing sync.WaitGroup
			seen := make([][]string, 3)
			for i := range seen {
				followers.Go(func() { seen[i] = followTo(t, l, uint64(1+i*100), writers*each) })
			}
			for w := range writers {
				writing.Go(func() {
					for n := range each {
						payload := fmt.Sprintf("writer %d, record %d", w, n)
						offset, err := l.Append([]byte(payload))
						if err != nil {
							t.Error(err)
							return
						}
						payloads[offset] = payload
					}
				})
			}
			writing.Wait()
			require.NoError(t, l.Sync())
			followers.Wait()
			for i := range seen {
				require.Equal(t, payloads[1+i*100:], seen[i])
			}
			require.Greater(t, l.Stats().Rolls, uint64(3))
			require.NoError(t, l.Close())
		})
	}
}

// followTo returns the payloads from one offset to another, and checks that their offsets leave nothing out.
func followTo(t *testing.T, l *Log, from, last uint64) (payloads []string) {
	for record, err := range l.Follow(t.Context(), from) {
		if err != nil || record.Offset != from+uint64(len(payloads)) {
			t.Errorf("offset %d after %d from %d: %v", record.Offset, len(payloads), from, err)
			return payloads
		}
		if payloads = append(payloads, string(record.Payload)); record.Offset == last {
			return payloads
		}
	}
	return payloads
}

// TestReadersBesideTruncationInFront: a reader gets the right records, or is told that they are gone.
func TestReadersBesideTruncationInFront(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	fill(t, l, 50)
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for !done.Load() {
				readAllHeld(t, l)
			}
		})
	}
	for last := uint64(60); last <= 1500; last += 10 {
		fill(t, l, last)
		require.NoError(t, l.TruncateFront(last-30))
	}
	done.Store(true)
	readers.Wait()
	require.NoError(t, l.Close())
}

// readAllHeld reads in both ways whatever the log holds.
func readAllHeld(t *testing.T, l *Log) {
	for record, err := range l.Records(l.First()) {
		if errors.Is(err, ErrTruncated) {
			return
		}
		if err != nil || string(record.Payload) != string(payloadOf(record.Offset)) {
			t.Errorf("offset %d: %q, %v", record.Offset, record.Payload, err)
			return
		}
		payload, err := l.Read(record.Offset)
		if errors.Is(err, ErrTruncated) {
			return
		}
		if err != nil || string(payload) != string(payloadOf(record.Offset)) {
			t.Errorf("read offset %d: %q, %v", record.Offset, payload, err)
		}
	}
}

// TestReaderLooksAgainWhereATruncationCameBetween truncates between the two looks that a reader takes: where the log
// ends, and where the record is.
func TestReaderLooksAgainWhereATruncationCameBetween(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	fill(t, l, 60)
	for last := uint64(50); last > 0; last -= 10 {
		r := reader{log: l, offset: last + 5, last: func() uint64 {
			defer func() { require.NoError(t, l.TruncateBack(last)) }()
			return l.Last()
		}}
		_, err := r.next()
		require.ErrorIs(t, err, io.EOF)
		r.close()
	}
	require.NoError(t, l.Close())
}

// TestReadersBesideTruncationOfTheEnd: records that go while somebody reads are there or not, but never damaged. Their
// offsets come again with other payloads, so only the kind of answer can be checked.
func TestReadersBesideTruncationOfTheEnd(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				readAllTruncated(t, l)
			}
		})
	}
	for round := range uint64(300) {
		fill(t, l, 60)
		require.NoError(t, l.TruncateBack(round%60))
	}
	done.Store(true)
	readers.Wait()
	require.NoError(t, l.Close())
}

func readAllTruncated(t *testing.T, l *Log) {
	next := uint64(1)
	for record, err := range l.Records(1) {
		if err != nil || record.Offset != next {
			t.Errorf("offset %d instead of %d: %v", record.Offset, next, err)
			return
		}
		next++
	}
	for offset := uint64(1); offset <= 60; offset++ {
		if _, err := l.Read(offset); err != nil && !errors.Is(err, ErrOutOfRange) {
			t.Errorf("read offset %d: %v", offset, err)
		}
	}
}

// TestFollowGoesOnAfterATruncation: the offsets that a follower has passed come again, and it doesn't see them twice.
func TestFollowGoesOnAfterATruncation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openTest(t, testOptions(vfs.NewMem()))
		var offsets []uint64
		var follower sync.WaitGroup
		follower.Go(func() { offsets = requireEnd(t, l.Follow(t.Context(), 1), ErrClosed) })
		fill(t, l, 70)
		synctest.Wait()
		require.NoError(t, l.TruncateBack(20))
		fill(t, l, 90)
		synctest.Wait()
		require.NoError(t, l.Close())
		follower.Wait()
		require.Len(t, offsets, 90)
		for i, offset := range offsets {
			require.EqualValues(t, i+1, offset)
		}
	})
}
