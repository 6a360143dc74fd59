package main

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
)

func TestJSONLineIsReadAsThePairItStandsFor(t *testing.T) {
	pairs, byID, byIDName := &jsonlReader{}, &jsonlReader{keyField: "id"}, &jsonlReader{keyField: "id", valueField: "name"}
	for _, c := range []struct {
		name       string
		reader     *jsonlReader
		line       string
		key, value string
	}{
		{"strings", pairs, `{"key":"a","value":"1"}`, "a", "1"},
		{"bytes", pairs, `{"key_base64":"AP8=","value_base64":""}`, "\x00\xff", ""},
		{"escapes", pairs, `{"key":"\u00e4\n","value":"\ud83d\ude00"}`, "ä\n", "😀"},
		{"a number as a key, as it is written", pairs, `{"key":1.0e3,"value":-1}`, "1.0e3", "-1"},
		{"other values as compact JSON", pairs, `{"key":"a","value":{"x": [1, "é ", null]}}`, "a", `{"x":[1,"é ",null]}`},
		{"a replacement character that is really there", pairs, `{"key":"\ufffd","value":"\uFFFD"}`, "\ufffd", "\ufffd"},
		{"an escaped backslash before ud800", pairs, `{"key":"a","value":"\\ud800\ufffd"}`, "a", "\\ud800\ufffd"},
		{"an object by its member", byID, ` {"id" : "a", "x" : [ ] } `, "a", `{"id":"a","x":[]}`},
		{"an object keeps its spelling", byID, `{"id":7,"x":"<\u0041>","y":1.50}`, "7", `{"id":7,"x":"<\u0041>","y":1.50}`},
		{"a member by another", byIDName, `{"id":"a","name":"Ada","rest":1}`, "a", "Ada"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p pair
			require.NoError(t, c.reader.parse([]byte(c.line), &p))
			require.Equal(t, c.key, string(p.key))
			require.Equal(t, c.value, string(p.value))
		})
	}
}

func TestJSONLineThatIsNoPairIsRefused(t *testing.T) {
	pairs, byID := &jsonlReader{}, &jsonlReader{keyField: "id"}
	for _, c := range []struct {
		name   string
		reader *jsonlReader
		line   string
		want   string
	}{
		{"no JSON", pairs, `key=value`, "not JSON, at byte 1"},
		{"cut off", pairs, `{"key":"a","val`, "not JSON"},
		{"two objects", pairs, `{"key":"a","value":"1"}{}`, "not JSON, at byte 24"},
		{"null", pairs, `null`, "not a JSON object"},
		{"an array", pairs, `[1]`, "a JSON array"},
		{"a string", pairs, `"a"`, "a JSON string"},
		{"no key", pairs, `{"value":"1"}`, `no member "key"`},
		{"no value", pairs, `{"key":"1"}`, `no member "value"`},
		{"a member too many", pairs, `{"key":"a","value":"1","ttl":5}`, `no member "ttl"`},
		{"a member by another case", pairs, `{"Key":"a","value":"1"}`, `no member "Key"`},
		{"two keys", pairs, `{"key":"a","key_base64":"YQ==","value":"1"}`, `both "key" and "key_base64"`},
		{"a deadline that is none", pairs, `{"key":"a","value":"1","deadline":null}`, `"deadline": null is no time`},
		{"bad base64", pairs, `{"key":"a","value_base64":"?"}`, `"value_base64"`},
		{"base64 that is no string", pairs, `{"key":"a","value_base64":1}`, `not a string`},
		{"an object as a key", pairs, `{"key":{},"value":"1"}`, "a string or a number"},
		{"null as a key", byID, `{"id":null}`, "a string or a number"},
		{"a missing member", byID, `{"ID":1}`, `no member "id"`},
		{"bytes that are no UTF-8", pairs, "{\"key\":\"a\",\"value\":\"\xff\"}", "not valid UTF-8"},
		{"a first half of a pair", pairs, `{"key":"a","value":"\ud800"}`, "surrogate"},
		{"a first half before another", pairs, `{"key":"a","value":"\ud800\ud83d\ude00"}`, "surrogate"},
		{"a second half", pairs, `{"key":"\udc00","value":""}`, "surrogate"},
		{"half a pair before an escape", pairs, `{"key":"a","value":"\ud800\n"}`, "surrogate"},
		{"hex that is none", &jsonlReader{enc: encodingHex}, `{"key":"0","value":""}`, `"key": "0" is not hex`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.reader.parse([]byte(c.line), new(pair))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestLinesAreCountedWhateverTheirLengthAndEnd(t *testing.T) {
	long := strings.Repeat("x", 100)
	lines := &lineReader{from: bufio.NewReaderSize(strings.NewReader("a\r\n\n"+long+"\nlast"), 16), max: 200}
	for number, want := range []string{"a", "", long, "last"} {
		line, err := lines.next()
		require.NoError(t, err)
		require.Equal(t, want, string(line))
		require.Equal(t, number+1, lines.line)
	}
	_, err := lines.next()
	require.Equal(t, io.EOF, err)
}

func TestLineOverTheLimitIsRefusedByNumber(t *testing.T) {
	input := "short\n" + strings.Repeat("x", 1000)
	lines := &lineReader{from: bufio.NewReaderSize(strings.NewReader(input), 16), max: 99}
	_, err := lines.next()
	require.NoError(t, err)
	_, err = lines.next()
	require.EqualError(t, err, "line 2: longer than 99 bytes")
	require.LessOrEqual(t, cap(lines.long), 2*99, "no more is kept than the limit")
}

// FuzzJSONLine shows that no line makes the reader panic, and that what it takes has a key to store.
func FuzzJSONLine(f *testing.F) {
	for _, seed := range []string{`{"key":"a","value":"\ud800"}`, `{"key_base64":"AA==","value":{"a":[1, 2]}}`, `{"id":1e9}`, `[`} {
		f.Add([]byte(seed), "id")
		f.Add([]byte(seed), "")
	}
	f.Fuzz(func(t *testing.T, line []byte, keyField string) {
		reader := &jsonlReader{keyField: keyField}
		var p pair
		allocated.Within(t, len(line)+membersOf(line), func() { _ = reader.parse(line, new(pair)) })
		err := reader.parse(line, &p)
		key, value := p.key, p.value
		if err != nil {
			return
		}
		// A pair that was read comes back the same through export's form.
		requireImportReads(t, encodingUTF8, key)
		requireImportReads(t, encodingUTF8, value)
	})
}
