package wal

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// formatDocument is the one full description of the layout. The tests of this file keep it true.
func formatDocument(t *testing.T) string {
	text, err := os.ReadFile("../docs/format.md")
	require.NoError(t, err)
	return string(text)
}

// section returns a part of the document, from its heading to the next one of the same rank.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, behind, found := strings.Cut(formatDocument(t), "\n## "+heading+"\n")
	require.True(t, found, "docs/format.md has no section %q", heading)
	part, _, _ := strings.Cut(behind, "\n## ")
	return part
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
	require.NoError(t, mem.WriteFile(path, append(exampleHead.append(nil), make([]byte, boundsFrameSize)...)))
	l := openTest(t, testOptions(mem))
	_, err := l.AppendBatch([][]byte{[]byte("hello"), []byte("walnut")})
	require.NoError(t, err)
	l.submitMu.Lock()
	require.NoError(t, l.mark())
	l.submitMu.Unlock()
	require.NoError(t, l.Close())
	store, err = mem.ReadFile(path)
	require.NoError(t, err)
	index, err = mem.ReadFile(joinName(testDir, indexName(1)))
	require.NoError(t, err)
	return store, index
}

// parseDump reads the bytes out of a dump whose lines are a position in hexadecimal, bytes, and text behind a bar.
func parseDump(t *testing.T, dump string) []byte {
	t.Helper()
	var data []byte
	for line := range strings.Lines(dump) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "|")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		at, err := strconv.ParseInt(fields[0], 16, 64)
		require.NoError(t, err)
		require.EqualValues(t, len(data), at, "the dump's positions have a gap")
		line, err2 := hex.DecodeString(strings.Join(fields[1:], ""))
		require.NoError(t, err2)
		data = append(data, line...)
	}
	return data
}

// documentedExample returns the bytes of the worked example as the document has them.
func documentedExample(t *testing.T) []byte {
	dump := regexp.MustCompile("(?s)```\n(.*?)```").FindStringSubmatch(section(t, "A worked example"))
	require.NotNil(t, dump)
	return parseDump(t, dump[1])
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

// TestTheExampleIsGoneThroughAsItIs checks the field-by-field walk through the example: each row's bytes stand in the
// dump at the row's position, and the rows leave nothing out.
func TestTheExampleIsGoneThroughAsItIs(t *testing.T) {
	data := documentedExample(t)
	row := regexp.MustCompile("(?m)^\\| 0x([0-9a-f]{2}) \\| `([0-9a-f ]+)(…)?` \\|")
	next := 0
	for _, match := range row.FindAllStringSubmatch(section(t, "A worked example"), -1) {
		at, err := strconv.ParseInt(match[1], 16, 64)
		require.NoError(t, err)
		require.EqualValues(t, next, at, "the walk skips bytes or goes back")
		want, err := hex.DecodeString(strings.ReplaceAll(match[2], " ", ""))
		require.NoError(t, err)
		require.Equal(t, want, data[at:][:len(want)], "at %#x", at)
		next += len(want)
	}
	require.Len(t, data, next, "the walk ends too soon")
}

// field is a row of a table of fields: its first byte and its length.
type field struct{ at, size int }

// documentedFields returns the rows of the table of fields in a section.
func documentedFields(t *testing.T, heading string) map[string]field {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| (\\d+) \\| (\\d+) \\| `(\\w+)` \\|")
	fields := map[string]field{}
	for _, match := range row.FindAllStringSubmatch(section(t, heading), -1) {
		at, err := strconv.Atoi(match[1])
		require.NoError(t, err)
		size, err := strconv.Atoi(match[2])
		require.NoError(t, err)
		fields[match[3]] = field{at, size}
	}
	return fields
}

func TestTheDocumentedFieldsAreTheCodes(t *testing.T) {
	require.Equal(t, map[string]field{
		"magic":     {headMagicAt, headVersionAt - headMagicAt},
		"version":   {headVersionAt, headReservedAt - headVersionAt},
		"reserved":  {headReservedAt, headIDAt - headReservedAt},
		"id":        {headIDAt, headSaltAt - headIDAt},
		"salt":      {headSaltAt, headBaseAt - headSaltAt},
		"base":      {headBaseAt, headFirstAt - headBaseAt},
		"first":     {headFirstAt, headPrevSaltAt - headFirstAt},
		"prevSalt":  {headPrevSaltAt, headPrevChainAt - headPrevSaltAt},
		"prevChain": {headPrevChainAt, headSumAt - headPrevChainAt},
		"sum":       {headSumAt, headSize - headSumAt},
	}, documentedFields(t, "The header of a store"))
	require.Equal(t, map[string]field{
		"headSum":       {frameSumAt, frameLengthAt - frameSumAt},
		"kindAndLength": {frameLengthAt, frameIndexAt - frameLengthAt},
		"index":         {frameIndexAt, frameBackAt - frameIndexAt},
		"back":          {frameBackAt, framePayloadAt - frameBackAt},
		"payloadSum":    {framePayloadAt, frameHeadSize - framePayloadAt},
	}, documentedFields(t, "A frame"))
	require.Equal(t, map[string]field{
		"first": {boundsFirstAt, boundsLastAt - boundsFirstAt},
		"last":  {boundsLastAt, boundsChainAt - boundsLastAt},
		"chain": {boundsChainAt, boundsSize - boundsChainAt},
	}, documentedFields(t, "Marks and seals"))
	require.Equal(t, map[string]field{
		"offset":   {entryOffsetAt, entryPositionAt - entryOffsetAt},
		"position": {entryPositionAt, entrySize - entryPositionAt},
	}, documentedFields(t, "The index"))
}

// documentedNumbers returns the rows of a table that gives names numbers.
func documentedNumbers(t *testing.T, heading string) map[string]int64 {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\d+) \\|")
	numbers := map[string]int64{}
	for _, match := range row.FindAllStringSubmatch(section(t, heading), -1) {
		number, err := strconv.ParseInt(match[2], 10, 64)
		require.NoError(t, err)
		numbers[match[1]] = number
	}
	return numbers
}

func TestTheDocumentedNumbersAreTheCodes(t *testing.T) {
	require.Equal(t, map[string]int64{
		"record": int64(kindRecord), "mark": int64(kindMark), "closed": int64(kindClosed), "rolled": int64(kindRolled),
	}, documentedNumbers(t, "A frame"))
	require.Equal(t, map[string]int64{
		"storeVersion":       storeVersion,
		"headSize":           headSize,
		"frameHeadSize":      frameHeadSize,
		"frameAlign":         frameAlign,
		"boundsFrameSize":    boundsFrameSize,
		"entrySize":          entrySize,
		"nameDigits":         nameDigits,
		"MinSegmentSize":     MinSegmentSize,
		"MaxSegmentSize":     MaxSegmentSize,
		"MaxRecordSizeLimit": MaxRecordSizeLimit,
	}, documentedNumbers(t, "Limits"))
	require.Equal(t, storeMagic, "WALNUTWL")
	require.Contains(t, section(t, "The header of a store"), "`"+storeMagic+"`")
	require.EqualValues(t, MaxRecordSizeLimit, frameLengthMax)
}

func TestTheDocumentedNamesAreTheCodes(t *testing.T) {
	names := section(t, "The directory and its names")
	for _, name := range []string{
		storeName(1), indexName(1), storeName(42) + temporarySuffix,
		quarantinePath("", 42, 4096, 0), quarantinePath("", 42, 4096, 1),
	} {
		require.Contains(t, names, "`"+name+"`", fmt.Sprintf("the name %s isn't explained", name))
	}
}

// TestNumbersAreLittleEndian pins the byte order by itself: everything else could be wrong in the same way twice.
func TestNumbersAreLittleEndian(t *testing.T) {
	encoded := exampleHead.append(nil)
	require.Equal(t, []byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}, encoded[headSaltAt:headBaseAt])
	require.EqualValues(t, storeVersion, binary.LittleEndian.Uint32(encoded[headVersionAt:]))
}
