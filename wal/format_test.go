package wal

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/doctable"
	"github.com/walnutkv/walnut/internal/vfs"
)

// section returns a part of the one full description of the layout. The tests of this file keep it true.
func section(t *testing.T, heading string) string {
	t.Helper()
	return doctable.Section(t, "../docs/format.md", heading)
}

// exampleHead is the header of the worked example, whose identity and salt are easy to find in a dump.
var exampleHead = storeHead{
	id:   [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	salt: 0x8877665544332211, base: 1, first: 1,
}

// writeExample makes the worked example with the code as it is used: a log of an empty store with a known header gets
// two records in one group, a mark, and a clean close.
func writeExample(t *testing.T) (store, index []byte) {
	mem := vfs.NewMem()
	path := joinName(testDir, storeName(1))
	require.NoError(t, mem.WriteFile(path, append(exampleHead.appendTo(nil), make([]byte, boundsFrameSize)...)))
	l := openTest(t, testOptions(mem))
	_, err := l.AppendBatch([][]byte{[]byte("hello"), []byte("walnut")})
	require.NoError(t, err)
	writeMark(t, l)
	require.NoError(t, l.Close())
	store, err = mem.ReadFile(path)
	require.NoError(t, err)
	index, err = mem.ReadFile(joinName(testDir, indexName(1)))
	require.NoError(t, err)
	return store, index
}

// documentedExample returns the bytes of the worked example as the document has them.
func documentedExample(t *testing.T) []byte {
	t.Helper()
	return doctable.Dump(t, section(t, "A worked example"))
}

func TestTheDocumentedExampleIsWhatTheCodeWrites(t *testing.T) {
	store, index := writeExample(t)
	require.Equal(t, store, documentedExample(t), "the document should say:\n%s", hex.Dump(store))
	require.Contains(t, section(t, "A worked example"), fmt.Sprintf("`% x`", index))
}

func TestTheDocumentedExampleIsReadByTheCode(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.WriteFile(joinName(testDir, storeName(1)), documentedExample(t)))
	l := openTest(t, testOptions(mem))
	require.Equal(t, Clean, l.Recovery().Outcome)
	require.Equal(t, exampleHead.id, l.ID())
	for offset, want := range []string{1: "hello", 2: "walnut"} {
		if offset > 0 {
			payload, err := l.Read(uint64(offset))
			require.NoError(t, err)
			require.Equal(t, want, string(payload))
		}
	}
	require.EqualValues(t, 2, l.Last())
	require.NoError(t, l.Close())
}

// TestTheExampleIsGoneThroughAsItIs checks the field-by-field walk through the example.
func TestTheExampleIsGoneThroughAsItIs(t *testing.T) {
	doctable.Walk(t, section(t, "A worked example"))
}

func TestTheDocumentedFieldsAreTheCodes(t *testing.T) {
	require.Equal(t, map[string]doctable.Field{
		"magic":      doctable.Between(headMagicAt, headVersionAt),
		"version":    doctable.Between(headVersionAt, headPrevEndAt),
		"prevEnd":    doctable.Between(headPrevEndAt, headIDAt),
		"id":         doctable.Between(headIDAt, headSaltAt),
		"salt":       doctable.Between(headSaltAt, headBaseAt),
		"base":       doctable.Between(headBaseAt, headFirstAt),
		"first":      doctable.Between(headFirstAt, headGenerationAt),
		"generation": doctable.Between(headGenerationAt, headPrevSaltAt),
		"prevSalt":   doctable.Between(headPrevSaltAt, headPrevChainAt),
		"prevChain":  doctable.Between(headPrevChainAt, headSumAt),
		"sum":        doctable.Between(headSumAt, headSize),
	}, doctable.Fields(t, section(t, "The header of a store")))
	require.Equal(t, map[string]doctable.Field{
		"headSum":       doctable.Between(frameSumAt, frameLengthAt),
		"kindAndLength": doctable.Between(frameLengthAt, frameIndexAt),
		"index":         doctable.Between(frameIndexAt, frameBackAt),
		"back":          doctable.Between(frameBackAt, framePayloadAt),
		"payloadSum":    doctable.Between(framePayloadAt, frameHeadSize),
	}, doctable.Fields(t, section(t, "A frame")))
	require.Equal(t, map[string]doctable.Field{
		"first": doctable.Between(boundsFirstAt, boundsChainAt),
		"chain": doctable.Between(boundsChainAt, boundsSize),
	}, doctable.Fields(t, section(t, "Marks and seals")))
	require.Equal(t, map[string]doctable.Field{
		"indexMagic":   doctable.Between(indexMagicAt, indexVersionAt),
		"indexVersion": doctable.Between(indexVersionAt, indexCountAt),
		"count":        doctable.Between(indexCountAt, indexSaltAt),
		"storeSalt":    doctable.Between(indexSaltAt, indexNextSaltAt),
		"nextSalt":     doctable.Between(indexNextSaltAt, indexEndAt),
		"end":          doctable.Between(indexEndAt, indexChainAt),
		"endChain":     doctable.Between(indexChainAt, indexEntriesSumAt),
		"entriesSum":   doctable.Between(indexEntriesSumAt, indexSumAt),
		"indexSum":     doctable.Between(indexSumAt, indexHeadSize),
	}, doctable.Fields(t, section(t, "The index")))
}

func TestTheDocumentedNumbersAreTheCodes(t *testing.T) {
	require.Equal(t, map[string]int64{
		"record": int64(kindRecord), "mark": int64(kindMark), "closed": int64(kindClosed), "rolled": int64(kindRolled),
	}, doctable.Numbers(t, section(t, "A frame")))
	require.Equal(t, map[string]int64{
		"storeVersion":       storeVersion,
		"headSize":           headSize,
		"frameHeadSize":      frameHeadSize,
		"frameAlign":         frameAlign,
		"boundsFrameSize":    boundsFrameSize,
		"indexVersion":       indexVersion,
		"indexHeadSize":      indexHeadSize,
		"entrySize":          entrySize,
		"nameDigits":         nameDigits,
		"MinSegmentSize":     MinSegmentSize,
		"MaxSegmentSize":     MaxSegmentSize,
		"storeSizeMax":       storeSizeMax,
		"MaxRecordSizeLimit": MaxRecordSizeLimit,
	}, doctable.Numbers(t, section(t, "Limits")))
	require.Equal(t, storeMagic, "WALNUTWL")
	require.Contains(t, section(t, "The header of a store"), "`"+storeMagic+"`")
	require.EqualValues(t, MaxRecordSizeLimit, frameLengthMax)
}

func TestTheDocumentedNamesAreTheCodes(t *testing.T) {
	names := section(t, "The directory and its names")
	for _, name := range []string{
		storeName(1), indexName(1), storeName(42) + temporarySuffix,
		quarantineName(42, 4096, 0x1234abcd),
	} {
		require.Contains(t, names, "`"+name+"`", fmt.Sprintf("the name %s isn't explained", name))
	}
}

// TestNumbersAreLittleEndian pins the byte order by itself: everything else could be wrong in the same way twice.
func TestNumbersAreLittleEndian(t *testing.T) {
	encoded := exampleHead.appendTo(nil)
	require.Equal(t, []byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}, encoded[headSaltAt:headBaseAt])
	require.EqualValues(t, storeVersion, binary.LittleEndian.Uint32(encoded[headVersionAt:]))
}
