package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
)

// FuzzObject compares splitObject with encoding/json, which must agree with it on each line that it takes.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "a" : [ {"b":"]}"} , null ] , "c\"" : "\\" }`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `{"\u0061":1,"a":2}`, `[1]`,
		"{\"a\":\"\xff\"}", `{"a":-1e9,"b":true}`, `{"a":1}x`, `null`, `""`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		members := map[string]json.RawMessage{"left": nil}
		allocated.Within(t, len(line)+membersOf(line), func() { _ = splitObject(line, map[string]json.RawMessage{}) })
		err := splitObject(line, members)
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(line, &want)
		if err == nil {
			require.NoError(t, wantErr)
			require.True(t, utf8.Valid(line))
			same := func(a, b json.RawMessage) bool { return string(a) == string(b) }
			require.True(t, maps.EqualFunc(want, members, same), "%q: %v", line, members)
			return
		}
		if wantErr == nil && want != nil && utf8.Valid(line) && !strings.Contains(err.Error(), "two members") {
			require.ErrorContains(t, err, "surrogate", "a valid object is refused for no reason: %q", line)
		}
	})
}

// membersOf returns how much memory the map of an object's members has to take.
func membersOf(line []byte) int {
	return bytes.Count(line, []byte(":")) * int(unsafe.Sizeof("")+unsafe.Sizeof(json.RawMessage{}))
}

func TestAnObjectThatADecoderWouldChangeIsRefused(t *testing.T) {
	pairs, byID := &jsonlReader{}, &jsonlReader{keyField: "id"}
	for _, c := range []struct {
		name   string
		reader *jsonlReader
		line   string
		want   string
	}{
		{"a member that comes twice", pairs, `{"key":"a","value":"1","key":"b"}`, `two members "key"`},
		{"one that comes twice by another spelling", pairs, `{"key":"a","value":"1","\u0076alue":"1"}`, `two members "value"`},
		{"one of any object", byID, `{"id":1,"x":{},"x":{}}`, `two members "x"`},
		{"bytes that are no UTF-8 in a name", byID, "{\"id\":1,\"\xff\":2}", "not valid UTF-8, at byte 10"},
		{"bytes that are no UTF-8 in a value that is stored whole", byID, "{\"id\":1,\"x\":[\"\xed\xa0\x80\"]}", "not valid UTF-8, at byte 15"},
		{"an object that is another kind", pairs, `{"kind":"commit","key":"a","value":"1"}`, `"kind": "commit" is no pair`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.reader.parse([]byte(c.line), new(pair))
			require.ErrorContains(t, err, c.want)
			require.False(t, errors.Is(err, io.EOF))
		})
	}
	inside := `{"id":1,"x":{"a":1,"a":2}}`
	var p pair
	require.NoError(t, byID.parse([]byte(inside), &p), "what is inside of a value stays as it is")
	require.Equal(t, inside, string(p.value))
}
