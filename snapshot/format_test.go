package snapshot

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// section returns a part of the one full description of the layout, from its heading to the next one of the same rank. The
// tests of this file keep it true.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/snapshot.md")
	require.NoError(t, err)
	_, behind, found := strings.Cut(string(text), "\n## "+heading+"\n")
	require.True(t, found, "docs/snapshot.md has no section %q", heading)
	part, _, _ := strings.Cut(behind, "\n## ")
	return part
}

// The worked example: two pairs of a store whose identity is easy to find in a dump.
var (
	exampleHeader = Header{
		Kind: 1, ID: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Offset: 42,
		Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	exampleEntries = []Entry{{[]byte("hello"), []byte("world")}, {[]byte("walnut"), []byte("tree")}}
)

// writeExample makes the worked example with the code as it is used.
func writeExample(t *testing.T) []byte {
	mem := vfs.NewMem()
	path, _, err := Write(t.Context(), mem, testDir, exampleHeader, Options{}, all(exampleEntries))
	require.NoError(t, err)
	data, err := mem.ReadFile(path)
	require.NoError(t, err)
	return data
}

// documentedExample returns the bytes of the worked example as the document has them: lines of a position in hexadecimal,
// bytes, and text behind a bar.
func documentedExample(t *testing.T) []byte {
	t.Helper()
	dump := regexp.MustCompile("(?s)```\n(.*?)```").FindStringSubmatch(section(t, "A worked example"))
	require.NotNil(t, dump)
	var data []byte
	for line := range strings.Lines(dump[1]) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "|")
		fields := strings.Fields(line)
		at, err := strconv.ParseInt(fields[0], 16, 64)
		require.NoError(t, err)
		require.EqualValues(t, len(data), at, "the dump's positions have a gap")
		decoded, err := hex.DecodeString(strings.Join(fields[1:], ""))
		require.NoError(t, err)
		data = append(data, decoded...)
	}
	return data
}

func TestTheDocumentedExampleIsWhatTheCodeWrites(t *testing.T) {
	data := writeExample(t)
	require.Equal(t, data, documentedExample(t), "the document should say:\n%s", hex.Dump(data))
}

func TestTheDocumentedExampleIsReadByTheCode(t *testing.T) {
	f, err := openBytes(t, documentedExample(t))
	require.NoError(t, err)
	require.Equal(t, exampleHeader, f.Info().Header)
	got, err := readFile(t, documentedExample(t))
	require.NoError(t, err)
	requireEntries(t, exampleEntries, got)
}

// TestTheExampleIsGoneThroughAsItIs checks the field-by-field walk through the example: each row's bytes stand in the
// dump at the row's position, and the rows leave nothing out.
func TestTheExampleIsGoneThroughAsItIs(t *testing.T) {
	data := documentedExample(t)
	row := regexp.MustCompile("(?m)^\\| 0x([0-9a-f]{2}) \\| `([0-9a-f ]+)` \\|")
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
		"magic":       {headMagicAt, headVersionAt - headMagicAt},
		"version":     {headVersionAt, headKindAt - headVersionAt},
		"kind":        {headKindAt, headCompressionAt - headKindAt},
		"compression": {headCompressionAt, headReservedAt - headCompressionAt},
		"reserved":    {headReservedAt, headIDAt - headReservedAt},
		"id":          {headIDAt, headFromAt - headIDAt},
		"from":        {headFromAt, headOffsetAt - headFromAt},
		"offset":      {headOffsetAt, headTimeAt - headOffsetAt},
		"time":        {headTimeAt, headSumAt - headTimeAt},
		"sum":         {headSumAt, headSize - headSumAt},
	}, documentedFields(t, "The header"))
	require.Equal(t, map[string]field{
		"headSum":    {blockSumAt, blockMethodAt - blockSumAt},
		"method":     {blockMethodAt, blockStoredAt - blockMethodAt},
		"storedSize": {blockStoredAt, blockRawAt - blockStoredAt},
		"rawSize":    {blockRawAt, blockEntriesAt - blockRawAt},
		"entryCount": {blockEntriesAt, blockPayloadSumAt - blockEntriesAt},
		"payloadSum": {blockPayloadSumAt, blockHeadSize - blockPayloadSumAt},
	}, documentedFields(t, "A block"))
	require.Equal(t, map[string]field{
		"entries":   {totalEntriesAt, totalKeyBytesAt - totalEntriesAt},
		"keyBytes":  {totalKeyBytesAt, totalDataBytesAt - totalKeyBytesAt},
		"dataBytes": {totalDataBytesAt, totalSumAt - totalDataBytesAt},
		"wholeSum":  {totalSumAt, totalsSize - totalSumAt},
	}, documentedFields(t, "The trailer"))
	require.Equal(t, map[string]field{
		"trailer":  {footTrailerAt, footSumAt - footTrailerAt},
		"footSum":  {footSumAt, footMagicAt - footSumAt},
		"endMagic": {footMagicAt, footSize - footMagicAt},
	}, documentedFields(t, "The footer"))
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
		"none": int64(NoCompression), "s2": int64(S2), "zstd": int64(Zstd), "trailer": int64(trailerMethod),
	}, documentedNumbers(t, "A block"))
	require.Equal(t, map[string]int64{
		"formatVersion":  formatVersion,
		"headSize":       headSize,
		"blockHeadSize":  blockHeadSize,
		"totalsSize":     totalsSize,
		"rowHeadSize":    rowHeadSize,
		"footSize":       footSize,
		"nameDigits":     nameDigits,
		"MaxKeySize":     MaxKeySize,
		"MaxDataSize":    MaxDataSize,
		"MaxBlockSize":   MaxBlockSize,
		"expansionMax":   expansionMax,
		"trailerSizeMax": trailerSizeMax,
	}, documentedNumbers(t, "Limits"))
	require.Contains(t, section(t, "The header"), "`"+headMagic+"`")
	require.Contains(t, section(t, "The footer"), "`"+footMagic+"`")
}

func TestTheDocumentedNamesAreTheCodes(t *testing.T) {
	names := section(t, "The directory and its names")
	require.Contains(t, names, "`"+Path("", 1000)+"`")
	require.Contains(t, names, "`"+Path("", 1000)+temporarySuffix+"`")
}

// TestNumbersAreLittleEndian pins the byte order by itself: everything else could be wrong in the same way twice.
func TestNumbersAreLittleEndian(t *testing.T) {
	h := exampleHeader
	h.Offset = 0x8877665544332211
	made, err := newHead(h, S2)
	require.NoError(t, err)
	encoded := made.append(nil)
	require.Equal(t, []byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}, encoded[headOffsetAt:headTimeAt])
	require.EqualValues(t, formatVersion, binary.LittleEndian.Uint32(encoded[headVersionAt:]))
}
