package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// readTable returns a table's pairs as "line key=value", and the error that ended them.
func readTable(format, text string, columns tableColumns) (pairs []string, err error) {
	flags := importFlags{format: format, columns: columns}
	reader, err := flags.newReader(&input{text: bufio.NewReader(strings.NewReader(text))}, encodingUTF8)
	if err != nil {
		return nil, err
	}
	for {
		p, err := reader.next()
		if err == io.EOF {
			return pairs, nil
		}
		if err != nil {
			return pairs, err
		}
		pairs = append(pairs, strings.Join([]string{string(rune('0' + p.line)), " ", string(p.key), "=", string(p.value)}, ""))
	}
}

func TestTableRowsAreReadAsPairs(t *testing.T) {
	for _, c := range []struct {
		name, format, text string
		columns            tableColumns
		want               []string
	}{
		{"csv by name", formatCSV, "id,name\n1,Ada\n", tableColumns{key: "id", value: "name"}, []string{"2 1=Ada"}},
		{"csv by number", formatCSV, "id,name\n1,Ada\n", tableColumns{key: "2", value: "1"}, []string{"2 Ada=1"}},
		{"a name wins over a number", formatCSV, "2,1\na,b\n", tableColumns{key: "1", value: "2"}, []string{"2 b=a"}},
		{
			"a quoted field over lines counts them", formatCSV, "k,v\na,\"1\n2\"\nb,3\n",
			tableColumns{key: "k", value: "v"},
			[]string{"2 a=1\n2", "4 b=3"},
		},
		{
			"a whole row is an object in the table's order", formatCSV, "z,a\n1,<&>\n",
			tableColumns{key: "a"},
			[]string{`2 <&>={"z":"1","a":"<&>"}`},
		},
		{
			"a row without a header is a list", formatCSV, "x,y\n",
			tableColumns{key: "1", noHeader: true},
			[]string{`1 x=["x","y"]`},
		},
		{"tsv quotes nothing", formatTSV, "k\tv\r\n\"a\t,b\"\r\n", tableColumns{key: "k", value: "v"}, []string{`2 "a=,b"`}},
		{
			"tsv keeps empty fields, skips empty lines", formatTSV, "k\tv\n\na\t\n",
			tableColumns{key: "k", value: "v"},
			[]string{"3 a="},
		},
		{
			"bytes that aren't UTF-8 stay as they are in a column", formatTSV, "k\tv\na\t\xff\n",
			tableColumns{key: "k", value: "v"},
			[]string{"2 a=\xff"},
		},
		{"a header alone", formatCSV, "k,v\n", tableColumns{key: "k"}, nil},
		{"nothing at all", formatTSV, "", tableColumns{key: "k"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			pairs, err := readTable(c.format, c.text, c.columns)
			require.NoError(t, err)
			require.Equal(t, c.want, pairs)
		})
	}
}

func TestTableThatCannotBeReadIsRefusedByLine(t *testing.T) {
	for _, c := range []struct {
		name, format, text string
		columns            tableColumns
		want               string
	}{
		{"no such column", formatCSV, "a,b\n", tableColumns{key: "c"}, `line 1: no column "c"; there are a, b`},
		{"no such number", formatCSV, "a,b\n", tableColumns{key: "3"}, `no column "3"`},
		{"column nought", formatCSV, "a,b\n", tableColumns{key: "0"}, `no column "0"`},
		{"a name without a header", formatCSV, "a,b\n", tableColumns{key: "a", noHeader: true}, "numbered 1 to 2"},
		{"an ambiguous column", formatCSV, "a,a\n", tableColumns{key: "a"}, `columns 1 and 2 are both named "a"`},
		{"an ambiguous row", formatCSV, "k,a,a\n1,2,3\n", tableColumns{key: "k"}, "JSON object: columns 2 and 3"},
		{"a short row", formatTSV, "a\tb\n1\n", tableColumns{key: "a"}, "line 2: 1 columns, the first line has 2"},
		{"a long row", formatCSV, "a,b\n1,2\n1,2,3\n", tableColumns{key: "a"}, "line 3: 3 columns"},
		{"a bare quote", formatCSV, "a,b\n1,2\"3\n", tableColumns{key: "a"}, "line 2: byte 4"},
		{"a quote that is not closed", formatCSV, "a,b\n1,\"2\n3\n", tableColumns{key: "a"}, "line 2: up to line 3"},
		{"a row of JSON with other bytes", formatCSV, "a,b\n1,\xff\n", tableColumns{key: "a"}, "line 2: column 2 is not valid UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readTable(c.format, c.text, c.columns)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// endless is a reader of one byte, over and over.
type endless byte

// Read fills p.
func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestUnclosedQuoteDoesNotReadWithoutEnd(t *testing.T) {
	rows := &limitedReader{from: endless('x'), left: 1 << 20}
	n, err := io.Copy(io.Discard, rows)
	require.ErrorIs(t, err, errRowTooLong)
	require.Less(t, n, int64(2<<20))
}

func TestReadErrorIsNotTakenForTheEnd(t *testing.T) {
	broken := errors.New("broken disk")
	for _, format := range []string{formatCSV, formatTSV, formatJSONL} {
		text := io.MultiReader(strings.NewReader("{}\n"), &failing{broken})
		flags := importFlags{format: format, columns: tableColumns{key: "1", noHeader: true}}
		reader, err := flags.newReader(&input{text: bufio.NewReader(text)}, encodingUTF8)
		for err == nil {
			_, err = reader.next()
			var line *lineError
			if errors.As(err, &line) && format == formatJSONL && line.line == 1 {
				err = nil // The object has no member "1"; the test is about the next line.
			}
		}
		require.ErrorIs(t, err, broken, format)
		require.ErrorContains(t, err, "line 2", format)
	}
}

type failing struct{ err error }

// Read fails.
func (f *failing) Read([]byte) (int, error) { return 0, f.err }
