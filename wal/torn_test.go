package wal

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// specimen is a small log that tests damage in every possible place.
type specimen struct {
	mem      *vfs.Mem
	payloads [][]byte // payloads[i] is that of offset i+1.
	proven   uint64   // The last record that a watermark proves durable: whatever is damaged, it is kept or missed.
	closed   bool
	tail     string // The last store.
	room     int    // Where the room for a seal, or the seal, ends in it.
}

// tornPayload makes payloads of many lengths: some empty, some nothing but zeros, some that end in zeros.
func tornPayload(offset uint64) []byte {
	switch offset % 7 {
	case 0:
		return nil
	case 1:
		return make([]byte, offset)
	case 2:
		return append(payloadOf(offset), 0, 0, 0)
	}
	return payloadOf(offset)
}

// newSpecimen makes a log of three segments that was closed and opened again on the way, so that there are marks and
// seals in it. Its last three records are one group: where the log isn't closed, nothing proves them.
func newSpecimen(t testing.TB, closed bool) *specimen {
	s := &specimen{mem: vfs.NewMem(), closed: closed}
	l := openTest(t, testOptions(s.mem))
	appendTo := func(last uint64) {
		for l.Last() < last {
			s.payloads = append(s.payloads, tornPayload(l.Last()+1))
			_, err := l.Append(s.payloads[l.Last()])
			require.NoError(t, err)
		}
	}
	appendTo(30)
	require.NoError(t, l.Close())
	l = openTest(t, testOptions(s.mem))
	appendTo(70)
	writeMark(t, l)
	appendTo(72)
	group := [][]byte{tornPayload(73), tornPayload(74), tornPayload(75)}
	_, err := l.AppendBatch(group)
	require.NoError(t, err)
	s.payloads, s.proven = append(s.payloads, group...), 72
	require.Len(t, l.Segments(), 3)
	s.tail = l.segments.active().store.path
	s.room = int(l.segments.active().store.end) + boundsFrameSize
	if closed {
		require.NoError(t, l.Close())
		s.proven = l.Last()
	}
	return s
}

// verdict is what became of a damaged specimen.
type verdict uint8

const (
	whole   verdict = iota // Every record is there.
	refused                // Open says that the log is damaged.
	met                    // Reading says so.
	shorter                // Records are missing from the end, none of which a watermark proves.
	verdicts
)

// judge opens a damaged copy and reads it in both ways. An error is a broken promise.
func (s *specimen) judge(mem *vfs.Mem) (verdict, error) {
	l, err := Open(testDir, testOptions(mem))
	if isRefusal(err) {
		return refused, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open: %w", err)
	}
	last := l.Last()
	if last < s.proven || last > uint64(len(s.payloads)) {
		return 0, fmt.Errorf("the log ends at %d, has %d records, of which %d are proven", last, len(s.payloads), s.proven)
	}
	inOrder, err := s.readInOrder(l)
	if err != nil {
		return 0, err
	}
	oneByOne, err := s.readOneByOne(l)
	switch {
	case err != nil:
		return 0, err
	case inOrder == met || oneByOne == met:
		return met, nil
	case last < uint64(len(s.payloads)):
		return shorter, nil
	}
	return whole, nil
}

// isRefusal reports whether an error says that bytes are damaged.
func isRefusal(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) }

func (s *specimen) readInOrder(l *Log) (verdict, error) {
	next := uint64(1)
	for record, err := range l.Records(1) {
		switch {
		case isRefusal(err):
			return met, nil
		case err != nil:
			return 0, fmt.Errorf("records: %w", err)
		case record.Offset != next || !bytes.Equal(record.Payload, s.payloads[next-1]):
			return 0, fmt.Errorf("records gives offset %d with %x instead of %d", record.Offset, record.Payload, next)
		}
		next++
	}
	if next != l.Last()+1 {
		return 0, fmt.Errorf("records ends silently before %d, the last is %d", next, l.Last())
	}
	return whole, nil
}

func (s *specimen) readOneByOne(l *Log) (verdict, error) {
	found := whole
	for i, want := range s.payloads[:l.Last()] {
		payload, err := l.Read(uint64(i) + 1)
		switch {
		case isRefusal(err):
			found = met
		case err != nil:
			return 0, fmt.Errorf("read %d: %w", i+1, err)
		case !bytes.Equal(payload, want):
			return 0, fmt.Errorf("read %d gives %x", i+1, payload)
		}
	}
	return found, nil
}

// harm is one way to damage a file.
type harm func(data []byte, at int) []byte

func flip(data []byte, bit int) []byte {
	flipped := bytes.Clone(data)
	flipped[bit/8] ^= 1 << (bit % 8)
	return flipped
}

func cut(data []byte, at int) []byte { return data[:at] }

// tallies counts verdicts.
type tallies [verdicts]atomic.Int64

func (s *tallies) String() string {
	return fmt.Sprintf("%d whole, %d refused by Open, %d met by reading, %d shorter",
		s[whole].Load(), s[refused].Load(), s[met].Load(), s[shorter].Load())
}

// harmEverywhere harms a file at every place below places, one at a time, and judges each result. Under -short it does
// every seventh.
func (s *specimen) harmEverywhere(t *testing.T, name string, places int, do harm, allow func(at int, v verdict) bool) {
	data, err := s.mem.ReadFile(name)
	require.NoError(t, err)
	step := 1
	if testing.Short() {
		step = 7
	}
	tally := &tallies{}
	for at := 0; at < places; at += step {
		mem := s.mem.Clone()
		require.NoError(t, mem.WriteFile(name, do(data, at)))
		got, err := s.judge(mem)
		if err == nil && !allow(at, got) {
			err = fmt.Errorf("verdict %d", got)
		}
		if err != nil {
			t.Errorf("place %d: %v", at, err)
		}
		tally[got].Add(1)
	}
	t.Log(tally)
}

// TestEveryFlippedBitIsNoticed is the promise that damage is never served and never hidden: whatever single bit rots,
// every record reads as it was written or somebody is told.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	everyFile(t, func(t *testing.T, s *specimen, name string, size int) {
		s.harmEverywhere(t, name, size*8, flip, func(_ int, v verdict) bool { return s.mayFlip(name, v) })
	})
}

// TestEveryCutIsNoticed is the same for files that end too soon.
func TestEveryCutIsNoticed(t *testing.T) {
	everyFile(t, func(t *testing.T, s *specimen, name string, size int) {
		s.harmEverywhere(t, name, size, cut, func(at int, v verdict) bool { return s.mayCut(name, at, v) })
	})
}

// everyFile runs a test for each file of a closed specimen, and for the active store of one whose process
// died: its other files are as in the closed one.
func everyFile(t *testing.T, run func(t *testing.T, s *specimen, name string, size int)) {
	for _, closed := range []bool{true, false} {
		s := newSpecimen(t, closed)
		names := s.mem.Names()
		if !closed {
			names = names[len(names)-1:]
		}
		for _, name := range names {
			data, err := s.mem.ReadFile(name)
			require.NoError(t, err)
			t.Run(fmt.Sprintf("closed=%v/%s", closed, filepath.Base(name)), func(t *testing.T) {
				t.Parallel()
				run(t, s, name, len(data))
			})
		}
	}
}

func isIndexFile(name string) bool { return strings.HasSuffix(name, indexSuffix) }

// mayFlip says what a flipped bit may lead to.
func (s *specimen) mayFlip(name string, v verdict) bool {
	switch {
	case isIndexFile(name):
		return v == whole
	case s.closed:
		return v != shorter
	}
	return true
}

// mayCut says what a cut may lead to: a store that ends too soon is never mended, not even the last one of a log that
// wasn't closed, unless only zeros after the room for a seal are gone.
func (s *specimen) mayCut(name string, at int, v verdict) bool {
	if isIndexFile(name) || name == s.tail && at >= s.room {
		return v == whole
	}
	return v == refused
}
