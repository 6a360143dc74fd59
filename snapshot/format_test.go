package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/doctable"
	"github.com/walnutkv/walnut/internal/vfs"
)

// section returns a part of the one full description of the layout. The tests of this file keep it true.
func section(t *testing.T, heading string) string {
	t.Helper()
	return doctable.Section(t, "../docs/snapshot.md", heading)
}

// The worked example: two pairs of a store whose identity is easy to find in a dump.
var (
	exampleHeader = Header{
		Kind: 1, ID: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Offset: 42,
		Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	exampleSum     = uint64(0xf7e6d5c4b3a29180)
	exampleEntries = []Entry{{[]byte("hello"), []byte("world")}, {[]byte("walnut"), []byte("tree")}}
)

// writeExample writes the worked example with the code.
func writeExample(t *testing.T) []byte {
	mem := vfs.NewMem()
	path, _, err := Write(t.Context(), mem, testDir, exampleHeader, Options{StateSum: &exampleSum}, all(exampleEntries))
	require.NoError(t, err)
	data, err := mem.ReadFile(path)
	require.NoError(t, err)
	return data
}

// documentedExample returns the bytes of the worked example as the document has them.
func documentedExample(t *testing.T) []byte {
	t.Helper()
	return doctable.Dump(t, section(t, "A worked example"))
}

func TestTheDocumentedExampleIsWhatTheCodeWrites(t *testing.T) {
	data := writeExample(t)
	require.Equal(t, data, documentedExample(t), "the document should say:\n%s", hex.Dump(data))
}

func TestTheDocumentedExampleIsReadByTheCode(t *testing.T) {
	f, err := openBytes(t, documentedExample(t))
	require.NoError(t, err)
	require.Equal(t, exampleHeader, f.Info().Header)
	require.Equal(t, exampleSum, f.Info().StateSum)
	require.NoError(t, f.Verify(t.Context()))
	got, err := readFile(t, documentedExample(t))
	require.NoError(t, err)
	requireEntries(t, exampleEntries, got)
}

// TestASnapshotOfFormat1IsRead reads the worked example as format 1 has it.
func TestASnapshotOfFormat1IsRead(t *testing.T) {
	data, err := os.ReadFile("testdata/format1.snap")
	require.NoError(t, err)
	f, err := openBytes(t, data)
	require.NoError(t, err)
	require.NoError(t, f.Verify(t.Context()))
	require.Equal(t, exampleHeader, f.Info().Header)
	require.Zero(t, f.Info().StateSum)
	got, err := readFile(t, data)
	require.NoError(t, err)
	requireEntries(t, exampleEntries, got)
	for at := range data {
		damaged := bytes.Clone(data)
		damaged[at] ^= 4
		_, err := readStream(damaged)
		require.Error(t, err, "a flip at %d", at)
	}
}

// TestAFileCanBeReadInFormat1 makes format 1 of the worked example, and of itself.
func TestAFileCanBeReadInFormat1(t *testing.T) {
	want, err := os.ReadFile("testdata/format1.snap")
	require.NoError(t, err)
	for _, data := range [][]byte{writeExample(t), want} {
		f, err := openBytes(t, data)
		require.NoError(t, err)
		r, size := f.Format1()
		got, err := io.ReadAll(iotest.OneByteReader(r))
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.EqualValues(t, len(want), size)
	}
}

func TestFormat1OfManyBlocksHasTheSameEntries(t *testing.T) {
	for _, entries := range [][]Entry{nil, scrambled(rand.New(rand.NewPCG(1, 2)), 300, 4<<10)} {
		mem := vfs.NewMem()
		path, info, err := Write(t.Context(), mem, testDir, exampleHeader, Options{BlockSize: 4 << 10, StateSum: &exampleSum}, all(entries))
		require.NoError(t, err)
		f, err := Open(mem, path)
		require.NoError(t, err)
		r, size := f.Format1()
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.EqualValues(t, len(data), size)
		old, err := openBytes(t, data)
		require.NoError(t, err)
		require.NoError(t, old.Verify(t.Context()))
		info.StateSum, info.FileBytes = 0, size
		require.Equal(t, info, old.Info())
		got, err := readFile(t, data)
		require.NoError(t, err)
		requireEntries(t, entries, got)
	}
}

// TestFormat1HidesNoDamage damages a block after the file was opened.
func TestFormat1HidesNoDamage(t *testing.T) {
	data := writeExample(t)
	data[headSize+blockHeadSize] ^= 1
	f, err := openBytes(t, data)
	require.NoError(t, err)
	r, _ := f.Format1()
	old, err := io.ReadAll(r)
	require.NoError(t, err)
	_, err = readStream(old)
	require.ErrorIs(t, err, ErrCorrupt)
}

// TestTheWalkThroughTheExampleIsRight checks the field-by-field walk through the example.
func TestTheWalkThroughTheExampleIsRight(t *testing.T) {
	doctable.Walk(t, section(t, "A worked example"))
}

func TestTheDocumentedFieldsAreTheCodes(t *testing.T) {
	require.Equal(t, map[string]doctable.Field{
		"magic":       doctable.Between(headMagicAt, headVersionAt),
		"version":     doctable.Between(headVersionAt, headKindAt),
		"kind":        doctable.Between(headKindAt, headCompressionAt),
		"compression": doctable.Between(headCompressionAt, headReservedAt),
		"reserved":    doctable.Between(headReservedAt, headIDAt),
		"id":          doctable.Between(headIDAt, headFromAt),
		"from":        doctable.Between(headFromAt, headOffsetAt),
		"offset":      doctable.Between(headOffsetAt, headTimeAt),
		"time":        doctable.Between(headTimeAt, headSumAt),
		"sum":         doctable.Between(headSumAt, headSize),
	}, doctable.Fields(t, section(t, "The header")))
	require.Equal(t, map[string]doctable.Field{
		"headSum":    doctable.Between(blockSumAt, blockMethodAt),
		"method":     doctable.Between(blockMethodAt, blockStoredAt),
		"storedSize": doctable.Between(blockStoredAt, blockRawAt),
		"rawSize":    doctable.Between(blockRawAt, blockEntriesAt),
		"entryCount": doctable.Between(blockEntriesAt, blockPayloadSumAt),
		"payloadSum": doctable.Between(blockPayloadSumAt, blockHeadSize),
	}, doctable.Fields(t, section(t, "A block")))
	require.Equal(t, map[string]doctable.Field{
		"entries":   doctable.Between(totalEntriesAt, totalKeyBytesAt),
		"keyBytes":  doctable.Between(totalKeyBytesAt, totalDataBytesAt),
		"dataBytes": doctable.Between(totalDataBytesAt, totalSumAt),
		"wholeSum":  doctable.Between(totalSumAt, totalStateSumAt),
		"stateSum":  doctable.Between(totalStateSumAt, totalsSize),
	}, doctable.Fields(t, section(t, "The trailer")))
	require.Equal(t, map[string]doctable.Field{
		"trailer":   doctable.Between(footerTrailerAt, footerSumAt),
		"footerSum": doctable.Between(footerSumAt, footerMagicAt),
		"endMagic":  doctable.Between(footerMagicAt, footerSize),
	}, doctable.Fields(t, section(t, "The footer")))
}

func TestTheDocumentedNumbersAreTheCodes(t *testing.T) {
	require.Equal(t, map[string]int64{
		"none": int64(NoCompression), "s2": int64(S2), "zstd": int64(Zstd), "trailer": int64(trailerMethod),
	}, doctable.Numbers(t, section(t, "A block")))
	require.Equal(t, map[string]int64{
		"FormatVersion":  FormatVersion,
		"headSize":       headSize,
		"blockHeadSize":  blockHeadSize,
		"totalsSize":     totalsSize,
		"rowHeadSize":    rowHeadSize,
		"footerSize":     footerSize,
		"nameDigits":     nameDigits,
		"MaxKeySize":     MaxKeySize,
		"MaxDataSize":    MaxDataSize,
		"MaxBlockSize":   MaxBlockSize,
		"expansionMax":   expansionMax,
		"trailerSizeMax": trailerSizeMax,
	}, doctable.Numbers(t, section(t, "Limits")))
	require.Contains(t, section(t, "The header"), "`"+headMagic+"`")
	require.Contains(t, section(t, "The footer"), "`"+footerMagic+"`")
}

func TestTheDocumentedNamesAreTheCodes(t *testing.T) {
	names := section(t, "The directory and its names")
	require.Contains(t, names, "`"+Path("", 1000)+"`")
	require.Contains(t, names, "`"+Path("", 1000)+temporarySuffix+"`")
}

// TestNumbersAreLittleEndian pins the byte order: code and document could both be wrong in the same way.
func TestNumbersAreLittleEndian(t *testing.T) {
	h := exampleHeader
	h.Offset = 0x8877665544332211
	made, err := newHead(h, S2)
	require.NoError(t, err)
	encoded := made.appendTo(nil)
	require.Equal(t, []byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}, encoded[headOffsetAt:headTimeAt])
	require.EqualValues(t, FormatVersion, binary.LittleEndian.Uint32(encoded[headVersionAt:]))
}
