package wal

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// image is a store file that a test lays out frame by frame, with the code that logs use.
type image struct {
	*store
	data []byte
}

func newImage() *image {
	data := exampleHead.appendTo(nil)
	return &image{store: newStore(nil, "", exampleHead, data), data: data}
}

// add lays out a frame and returns its position.
func (m *image) add(kind frameKind, payload []byte) (position int64) {
	position = int64(len(m.data))
	m.data = m.layOut(m.data, kind, payload, payloadSum(payload))
	return position
}

// foreign appends a record as a file with another salt has it.
func (m *image) foreign() {
	own := m.saltSum
	m.saltSum = sumUint64(0, m.head.salt+1)
	m.record("foreign")
	m.saltSum = own
}

func (m *image) record(payload string) (position int64) { return m.add(kindRecord, []byte(payload)) }

func (m *image) bounds(kind frameKind, first uint64) (position int64) {
	encoded := bounds{first: first, chain: m.chain}.encode()
	return m.add(kind, encoded[:])
}

// sync makes what comes later speak of what is there now as durable.
func (m *image) sync() { m.durable.set(m.end, m.count()) }

// pad appends zeros.
func (m *image) pad(size int) { m.data = append(m.data, make([]byte, size)...) }

// countingReader counts the bytes that are read.
type countingReader struct {
	io.ReaderAt
	read int64
}

func (r *countingReader) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, at)
	r.read += int64(n)
	return n, err
}

func (m *image) scanner() (*scanner, *countingReader) {
	reader := &countingReader{ReaderAt: bytes.NewReader(m.data)}
	sc := m.scan(int64(len(m.data)))
	sc.file = reader
	return sc, reader
}

// skip steps over n frames that check out.
func (s *scanner) skip(t *testing.T, n int) {
	t.Helper()
	for range n {
		_, err := s.frame()
		require.NoError(t, err)
	}
}

func TestScanGivesFramesInOrder(t *testing.T) {
	m := newImage()
	large := string(bytes.Repeat([]byte("large"), scanChunk))
	m.record("one")
	m.record("")
	m.bounds(kindMark, 1)
	m.record(large)
	m.record("four")
	m.bounds(kindClosed, 1)
	sc, _ := m.scanner()
	for _, want := range []struct {
		kind    frameKind
		offset  uint64
		payload string
	}{{kindRecord, 1, "one"}, {kindRecord, 2, ""}, {kindMark, 3, ""}, {kindRecord, 3, large}, {kindRecord, 4, "four"}, {kindClosed, 5, ""}} {
		chain := sc.chain
		f, err := sc.frame()
		require.NoError(t, err)
		require.Equal(t, want.kind, f.kind)
		require.Equal(t, want.offset, f.offset)
		if want.kind == kindRecord {
			require.Equal(t, want.payload, string(f.payload))
			continue
		}
		_, err = f.bounds(chain)
		require.NoError(t, err, "the chain is what the %s says", want.kind)
	}
	_, err := sc.frame()
	require.ErrorIs(t, err, errCutShort, "a sealed file ends with its seal")
}

func TestScanSaysWhyItStops(t *testing.T) {
	tests := []struct {
		sentence string
		after    func(m *image)
		want     error
	}{
		{"zeros were never written", func(m *image) { m.pad(100) }, errNeverWritten},
		{"noise is no frame", func(m *image) { m.data = append(m.data, bytes.Repeat([]byte("noise"), 20)...) }, errNotFrame},
		{"the file may end here", func(*image) {}, errCutShort},
		{"the file may end inside a header", func(m *image) { m.record("x"); m.data = m.data[:len(m.data)-9] }, errCutShort},
		{"the file may end inside a payload", func(m *image) { m.record("payload"); m.data = m.data[:len(m.data)-1] }, errCutShort},
		{"a payload may be wrong", func(m *image) { at := m.record("payload"); m.data[at+frameHeadSize] ^= 1 }, errPayload},
		{"padding may be wrong", func(m *image) { m.record("payload"); m.data[len(m.data)-1] = 1 }, errPayload},
		{"a header may be wrong", func(m *image) { m.data[m.record("payload")+frameIndexAt] ^= 1 }, errNotFrame},
		{"a frame may have come to the wrong place", func(m *image) {
			at := m.record("same size")
			m.record("as the other")
			copy(m.data[at:], m.data[len(m.data)-32:])
		}, errNotFrame},
		{"a frame may have an offset that comes too soon", func(m *image) { m.next++; m.record("gap") }, errNotFrame},
		{"a frame may have an offset for the second time", func(m *image) { m.next--; m.record("again") }, errNotFrame},
		{"a frame may be another file's", (*image).foreign, errNotFrame},
	}
	for _, test := range tests {
		t.Run(test.sentence, func(t *testing.T) {
			m := newImage()
			m.record("before")
			end := int64(len(m.data))
			test.after(m)
			sc, _ := m.scanner()
			sc.skip(t, 1)
			for range 2 {
				_, err := sc.frame()
				require.ErrorIs(t, err, test.want)
				require.True(t, isScanStop(err))
				require.Equal(t, end, sc.position, "a failed step moves nothing")
				require.EqualValues(t, 2, sc.next)
			}
		})
	}
}

func TestScanGoesOnOnceTheFileHasGrown(t *testing.T) {
	m := newImage()
	m.record("one")
	first := int64(len(m.data))
	m.record("two")
	sc, _ := m.scanner()
	sc.limit = first
	sc.skip(t, 1)
	for ; sc.limit < int64(len(m.data)); sc.limit++ {
		_, err := sc.frame()
		require.ErrorIs(t, err, errCutShort)
	}
	sc.skip(t, 1)
}

// failingReader fails from a position on.
type failingReader struct {
	io.ReaderAt
	from int64
}

var errDisk = errors.New("the disk can't read this")

func (r failingReader) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > r.from {
		return 0, errDisk
	}
	return r.ReaderAt.ReadAt(p, at)
}

func TestReadErrorIsNoScanStop(t *testing.T) {
	m := newImage()
	m.record("one")
	sc, _ := m.scanner()
	sc.file = failingReader{sc.file, headSize + 10}
	_, err := sc.frame()
	require.ErrorIs(t, err, errDisk)
	require.False(t, isScanStop(err))
	_, _, err = sc.evidence()
	require.ErrorIs(t, err, errDisk)
}

// TestEvidence is the recovery rule in small: the third frame, in a group of its own, doesn't check out.
func TestEvidence(t *testing.T) {
	tests := []struct {
		sentence string
		after    func(m *image) (proof int64)
	}{
		{"nothing after it proves nothing", func(*image) int64 { return 0 }},
		{"zeros prove nothing", func(m *image) int64 { m.pad(3 * scanChunk); return 0 }},
		{"noise proves nothing", func(m *image) int64 { m.data = append(m.data, bytes.Repeat([]byte("noise"), scanChunk)...); return 0 }},
		{"frames of the same group prove nothing", func(m *image) int64 { m.record("fourth"); m.record("fifth"); return 0 }},
		{"a frame of a later group is proof", func(m *image) int64 { m.sync(); return m.record("fourth") }},
		{"a mark is proof", func(m *image) int64 { m.record("fourth"); m.sync(); return m.bounds(kindMark, 1) }},
		{"a seal is proof", func(m *image) int64 { m.sync(); return m.bounds(kindClosed, 1) }},
		{"proof may come late in the group that follows", func(m *image) int64 {
			m.record("fourth")
			m.sync()
			at := m.record("fifth")
			m.record("sixth")
			return at
		}},
		{"proof may stand after bytes that were never written", func(m *image) int64 {
			m.sync()
			m.end += 1 << 20
			m.pad(1 << 20)
			return m.record("fourth")
		}},
		{"proof may have lost its payload", func(m *image) int64 {
			m.sync()
			at := m.record("fourth")
			m.data[at+frameHeadSize] ^= 1
			return at
		}},
		{"proof may be cut short", func(m *image) int64 {
			m.sync()
			at := m.record("fourth")
			m.data = m.data[:at+frameHeadSize]
			return at
		}},
		{"a payload that is proof by its bytes is none while its header stands", func(m *image) int64 {
			fake := newImage()
			fake.end = m.end + frameHeadSize + 4
			fake.durable.set(fake.end, 0)
			fake.record("fake")
			m.record("fill" + string(fake.data[headSize:]))
			return 0
		}},
		{"another file's frame proves nothing", func(m *image) int64 { m.sync(); m.foreign(); return 0 }},
	}
	for _, test := range tests {
		t.Run(test.sentence, func(t *testing.T) {
			m := newImage()
			m.record("first")
			m.record("second")
			m.sync()
			at := m.record("third")
			proof := test.after(m)
			m.data[at+frameHeadSize] ^= 1 // The payload's first byte.
			sc, _ := m.scanner()
			sc.skip(t, 2)
			got, _, err := sc.evidence()
			require.NoError(t, err)
			require.Equal(t, proof, got, "its header stands")

			m.data[at] ^= 1
			got, _, err = sc.evidence()
			require.NoError(t, err)
			require.Equal(t, proof, got, "its header doesn't stand either")
		})
	}
}

// TestEvidenceIsFoundAcrossWindows moves proof over the place where one window of the file ends and the next begins.
func TestEvidenceIsFoundAcrossWindows(t *testing.T) {
	for shift := -48; shift <= 48; shift += frameAlign {
		m := newImage()
		m.pad(scanChunk + shift)
		m.end = int64(len(m.data))
		m.sync()
		want := m.record("proof")
		m.pad(200)
		sc, _ := m.scanner()
		got, _, err := sc.evidence()
		require.NoError(t, err)
		require.Equal(t, want, got, "shift %d", shift)
	}
}

func TestEvidenceSaysWhereTheBytesEnd(t *testing.T) {
	for _, test := range []struct {
		sentence string
		after    func(m *image) (end int64)
	}{
		{"zeros alone are no bytes", func(m *image) int64 { m.pad(1000); return headSize }},
		{"noise ends with its last byte, rounded up", func(m *image) int64 { m.pad(803); m.data = append(m.data, 1); m.pad(500); return headSize + 808 }},
		{"a frame ends with its padding", func(m *image) int64 {
			m.end += 8
			m.pad(8)
			m.record("")
			end := m.end
			m.pad(500)
			return end
		}},
		{"a frame ends with the file at the latest", func(m *image) int64 {
			m.end += 8
			m.pad(8)
			m.record("long enough to be cut")
			m.data = m.data[:len(m.data)-13]
			return int64(len(m.data))
		}},
		{"the last bytes of a file may be no whole step", func(m *image) int64 { m.data = append(m.data, 1, 2, 3); return headSize + 3 }},
	} {
		m := newImage()
		want := test.after(m)
		sc, _ := m.scanner()
		proof, written, err := sc.evidence()
		require.NoError(t, err)
		require.Zero(t, proof)
		require.Equal(t, want, written, test.sentence)
	}
}

// TestEvidenceReadsEachByteAboutOnce: a tail of many small frames that nothing proves must not take the square of its
// length.
func TestEvidenceReadsEachByteAboutOnce(t *testing.T) {
	m := newImage()
	at := m.record("the first of a large group")
	for len(m.data) < 8*scanChunk {
		m.record("another")
	}
	m.data[at] ^= 1
	sc, reader := m.scanner()
	proof, written, err := sc.evidence()
	require.NoError(t, err)
	require.Zero(t, proof)
	require.EqualValues(t, len(m.data), written)
	require.Less(t, reader.read, int64(2*len(m.data)))
}
