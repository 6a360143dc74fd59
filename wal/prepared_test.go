package wal

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// preparedHead is how many bytes of a record are written with its header.
const preparedHead = lateBytes - headSize - frameHeadSize

// noise returns a payload that compresses badly and repeats late.
func noise(size int) []byte {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i*i>>8 ^ i)
	}
	return payload
}

func temporaryFiles(mem *vfs.Mem) (names []string) {
	for _, name := range mem.Names() {
		if strings.HasSuffix(name, temporarySuffix) {
			names = append(names, name)
		}
	}
	return names
}

// TestAPreparedRecordIsAddedByAFewBytes: whatever its size, little is written after it got its offset, so other appends don't wait.
func TestAPreparedRecordIsAddedByAFewBytes(t *testing.T) {
	for _, size := range []int{0, 1, preparedHead - 1, preparedHead, preparedHead + 1, 100_000, 3*prepareStep + 5} {
		for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
			mem := vfs.NewMem()
			opts := testOptions(mem)
			opts.Sync, opts.SegmentSize = mode, 64<<10
			var landed []uint64
			opts.Landed = func(last uint64) { landed = append(landed, last) }
			l := openTest(t, opts)
			fill(t, l, 3)
			payload := noise(size)
			p, err := l.Prepare(payload)
			require.NoError(t, err)
			fill(t, l, 5)
			written := int64(0)
			mem.SetHook(func(c vfs.Call) error {
				if c.Op == vfs.OpWrite {
					written += c.Len
				}
				return nil
			})
			for i := range min(size, preparedHead) {
				payload[i]++
			}
			offset, _, err := l.SubmitPrepared(p, payload)
			require.NoError(t, err)
			require.EqualValues(t, 6, offset)
			require.NoError(t, l.Wait(offset))
			require.Less(t, written, int64(lateBytes+1000), "%d bytes, %v", size, mode)
			mem.SetHook(nil)
			p.Discard()
			require.Equal(t, payload, must(l.Read(offset)))
			if mode == SyncAlways {
				require.Equal(t, offset, landed[len(landed)-1])
			}
			fill(t, l, 8)
			require.Empty(t, temporaryFiles(mem))
			for _, disk := range []*vfs.Mem{mem.Exit(), mem.Crash(1, vfs.KeepAll)} {
				opts.FS = disk
				again := openTest(t, opts)
				require.Equal(t, payload, must(again.Read(offset)))
				require.EqualValues(t, 8, again.Last())
			}
		}
	}
}

func TestAPreparedRecordThatIsNotSubmittedLeavesNothing(t *testing.T) {
	mem := vfs.NewMem()
	opts := testOptions(mem)
	opts.MaxRecordSize = 200_000
	l := openTest(t, opts)
	fill(t, l, 3)
	before := usedSpace(mem)

	p := must(l.Prepare(noise(100_000)))
	require.Len(t, temporaryFiles(mem), 1)
	p.Discard()
	p.Discard()
	require.Equal(t, before, usedSpace(mem))

	_, err := l.Prepare(noise(200_001))
	require.ErrorIs(t, err, ErrTooLarge)
	mem.SetCapacity(before + 50_000)
	_, err = l.Prepare(noise(100_000))
	require.ErrorIs(t, err, ErrNoSpace)
	require.Equal(t, before, usedSpace(mem))
	mem.SetCapacity(0)
	for op := range vfs.Op(20) {
		mem.SetHook(func(c vfs.Call) error {
			if c.Op == op && op.Changes() && strings.HasSuffix(c.Name, temporarySuffix) {
				mem.SetHook(nil)
				return errDisk
			}
			return nil
		})
		if _, err := l.Prepare(noise(100_000)); err != nil {
			require.Equal(t, before, usedSpace(mem), "%s fails", op)
		}
		mem.SetHook(nil)
		for _, name := range temporaryFiles(mem) {
			require.NoError(t, mem.Remove(name))
		}
	}
	fill(t, l, 4) // The log is none the worse for it.

	lost := must(l.Prepare(noise(100_000)))
	opts.FS = mem.Exit()
	again := openTest(t, opts)
	require.Len(t, again.Recovery().Removed, 1, "what a process leaves is removed by the next open")
	requireRecords(t, again, 1, 4)
	lost.Discard()

	p = must(l.Prepare(noise(100_000)))
	require.NoError(t, l.Close())
	_, _, err = l.SubmitPrepared(p, noise(100_000))
	require.ErrorIs(t, err, ErrClosed)
	p.Discard()
	require.Empty(t, temporaryFiles(mem))
	_, err = l.Prepare(nil)
	require.ErrorIs(t, err, ErrClosed)
}

func TestAPreparedRecordThatDoesNotFitIsSubmittedAsOthersAre(t *testing.T) {
	l := openTest(t, testOptions(vfs.NewMem()))
	submit := func(p *Prepared, payload []byte) {
		offset, _, err := l.SubmitPrepared(p, payload)
		require.NoError(t, err)
		require.NoError(t, l.Wait(offset))
		require.Equal(t, payload, must(l.Read(offset)))
		if p != nil {
			p.Discard()
		}
	}
	submit(must(l.Prepare(noise(9000))), noise(9000)) // The log has no record that a segment could follow.
	submit(must(l.Prepare(noise(9000))), noise(9001))
	submit(nil, noise(9000))
	p := must(l.Prepare(noise(9000)))
	submit(p, noise(9000))
	submit(p, noise(9000)) // It was submitted already.
	require.EqualValues(t, 5, l.Last())
	require.Empty(t, temporaryFiles(l.opts.FS.(*vfs.Mem)))
}

// TestAPreparedRecordThatFailsIsThereOrNot: whichever call fails, the log goes on without the record, or has failed and says at the
// next open what there is.
func TestAPreparedRecordThatFailsIsThereOrNot(t *testing.T) {
	for nth := 1; ; nth++ {
		mem := vfs.NewMem()
		l := openTest(t, testOptions(mem))
		fill(t, l, 3)
		payload := bytes.Repeat([]byte("walnut"), 2000)
		p := must(l.Prepare(payload))
		calls := 0
		mem.SetHook(func(c vfs.Call) error {
			if c.Op.Changes() {
				if calls++; calls == nth {
					return errDisk
				}
			}
			return nil
		})
		offset, _, err := l.SubmitPrepared(p, payload)
		if err == nil {
			err = l.Wait(offset)
		}
		p.Discard()
		mem.SetHook(nil)
		again := openTest(t, testOptions(mem.Crash(uint64(nth), vfs.Mixed)))
		if again.Last() > 3 {
			require.Equal(t, payload, must(again.Read(4)))
		}
		for offset := uint64(1); offset <= 3; offset++ {
			require.Equal(t, payloadOf(offset), must(again.Read(offset)))
		}
		if calls < nth {
			require.NoError(t, err)
			require.EqualValues(t, 4, again.Last())
			require.Greater(t, nth, 5)
			return
		}
		if err == nil {
			require.EqualValues(t, 4, again.Last(), "call %d failed", nth)
		}
	}
}

// TestAnErrorComesWithAnOffsetOnlyIfTheRecordMayBeThere fails each call of handing over a record: with offset 0 it isn't in the log.
func TestAnErrorComesWithAnOffsetOnlyIfTheRecordMayBeThere(t *testing.T) {
	seen := map[bool]int{}
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, ahead := range []bool{false, true} {
			for nth := 1; ; nth++ {
				mem := vfs.NewMem()
				opts := testOptions(mem)
				opts.Sync = mode
				l := openTest(t, opts)
				fill(t, l, 3)
				payload := noise(20_000)
				var p *Prepared
				if ahead {
					p = must(l.Prepare(payload))
				}
				calls := 0
				mem.SetHook(func(c vfs.Call) error {
					if c.Op.Changes() {
						if calls++; calls == nth {
							return errDisk
						}
					}
					return nil
				})
				offset, _, err := l.SubmitPrepared(p, payload)
				mem.SetHook(nil)
				if calls < nth {
					require.NoError(t, err)
					require.NoError(t, l.Close())
					break
				}
				if err != nil {
					require.ErrorIs(t, err, ErrFailed)
					seen[offset != 0]++
					again, _, refused := l.Submit(payload)
					require.ErrorIs(t, refused, ErrFailed)
					require.Zero(t, again)
				}
				_ = l.Close()
				opts.FS = mem.Exit()
				l = openTest(t, opts)
				if err != nil && offset == 0 {
					require.EqualValues(t, 3, l.Last(), "call %d", nth)
				}
				require.NoError(t, l.Close())
			}
		}
	}
	require.Positive(t, seen[true])
	require.Positive(t, seen[false])
}
