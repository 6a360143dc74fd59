package main

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
)

// parseTxn reads one line of a transaction.
func parseTxn(enc encoding, line string) (txnOp, error) {
	reader := txnReader{enc: enc}
	return reader.parse([]byte(line))
}

func TestTxnLineIsReadAsTheOperationItStandsFor(t *testing.T) {
	for _, c := range []struct {
		name string
		enc  encoding
		line string
		want txnOp
	}{
		{"a put", encodingUTF8, `{"op":"put","key":"a","value":"1"}`, txnOp{op: opPut, key: []byte("a"), value: []byte("1")}},
		{
			"a put of bytes", encodingUTF8, `{"op":"put","key_base64":"AP8=","value_base64":"/w=="}`,
			txnOp{op: opPut, key: []byte("\x00\xff"), value: []byte("\xff")},
		},
		{
			"a put with a deadline", encodingUTF8, `{"op":"put","key":"a","value":"1","deadline":"2030-01-02T03:04:05.6Z"}`,
			txnOp{op: opPut, key: []byte("a"), value: []byte("1"), deadline: time.Date(2030, 1, 2, 3, 4, 5, 6e8, time.UTC)},
		},
		{
			"a value that is an object is compact JSON", encodingUTF8, `{"value":{"x": [1]},"key":"a","op":"put"}`,
			txnOp{op: opPut, key: []byte("a"), value: []byte(`{"x":[1]}`)},
		},
		{"a delete in hex", encodingHex, `{"op":"delete","key":"00ff"}`, txnOp{op: opDelete, key: []byte("\x00\xff")}},
		{
			"a range with an open end", encodingUTF8, `{"op":"delete_range","start":"a"}`,
			txnOp{op: opDeleteRange, key: []byte("a")},
		},
		{
			"a range of bytes", encodingUTF8, `{"op":"delete_range","start":"a","end_base64":"/w=="}`,
			txnOp{op: opDeleteRange, key: []byte("a"), end: []byte("\xff")},
		},
		{
			"an expected value", encodingUTF8, `{"op":"expect","key":"a","value":""}`,
			txnOp{op: opExpect, key: []byte("a"), value: []byte{}},
		},
		{
			"an expected absence", encodingUTF8, `{"op":"expect","key":"a","absent":true}`,
			txnOp{op: opExpect, key: []byte("a"), absent: true},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			op, err := parseTxn(c.enc, c.line)
			require.NoError(t, err)
			require.Equal(t, c.want, op)
		})
	}
}

func TestTxnLineThatIsNoOperationIsRefused(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"no JSON", `put a 1`, "not JSON, at byte 1"},
		{"an array", `[]`, "a JSON array"},
		{"null", `null`, "not a JSON object"},
		{"no operation", `{"key":"a"}`, `no member "op"`},
		{"an unknown operation", `{"op":"get","key":"a"}`, `"op": "get" is none of put`},
		{"an operation that is no string", `{"op":1}`, `is none of put`},
		{"an unknown member", `{"op":"put","key":"a","value":"1","ttl":5}`, `put has no member "ttl"; it has key, `},
		{"a member of another operation", `{"op":"delete","key":"a","value":"1"}`, `delete has no member "value"`},
		{"a member twice", `{"op":"put","key":"a","value":"1","key":"b"}`, `two members "key"`},
		{"an operation twice", `{"op":"put","op":"delete","key":"a"}`, `two members "op"`},
		{"a member twice by an escape", `{"op":"put","key":"a","value":"1","k\u0065y":"b"}`, `two members "key"`},
		{"no key", `{"op":"delete"}`, `no member "key"`},
		{"an empty key", `{"op":"delete","key":""}`, "key is empty"},
		{"a key too large", `{"op":"delete","key":"` + strings.Repeat("k", 64<<10+1) + `"}`, "65537 bytes, at most 65536"},
		{"a put without a value", `{"op":"put","key":"a"}`, `no member "value"`},
		{"two forms of a value", `{"op":"put","key":"a","value":"1","value_base64":"MQ=="}`, `both "value" and "value_base64"`},
		{"a deadline that is none", `{"op":"put","key":"a","value":"1","deadline":"soon"}`, `is no time such as 1970-`},
		{"nothing expected", `{"op":"expect","key":"a"}`, `no member "value", "value_base64" or "absent"`},
		{"two things expected", `{"op":"expect","key":"a","value":"1","absent":true}`, `both "absent" and a value`},
		{"not absent", `{"op":"expect","key":"a","absent":false}`, `is not true`},
		{"a range of every key", `{"op":"delete_range"}`, "every key"},
		{"a range of every key, spelled out", `{"op":"delete_range","start":"","end":""}`, "every key"},
		{"a bound too large", `{"op":"delete_range","start":"` + strings.Repeat("k", 64<<10+1) + `"}`, `"start": `},
		{"half a surrogate pair", `{"op":"delete","key":"\ud800"}`, "lone surrogate"},
		{"two objects", `{"op":"delete","key":"a"}{}`, "not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseTxn(encodingUTF8, c.line)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestTxnInMemoryIsBounded(t *testing.T) {
	line := `{"op":"expect","key":"a","value":"123456789"}` + "\n"
	reader := txnReader{lines: &lineReader{from: bufio.NewReader(strings.NewReader(strings.Repeat(line, 3))), max: 100}, max: 2 * (10 + pairOverhead)}
	_, err := reader.readAll()
	require.ErrorContains(t, err, "line 3: the transaction takes more than 84 bytes")
}

// FuzzTxnLine shows that no line makes the reader panic, and that what it takes has a key and an operation.
func FuzzTxnLine(f *testing.F) {
	f.Add([]byte(`{"op":"put","key":"a","value":{"x":1},"deadline":"2030-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"op":"delete_range","start":"a","end_base64":"/w=="}`))
	f.Add([]byte(`{"op":"expect","key":1,"absent":true}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		reader := txnReader{enc: encodingUTF8}
		allocated.Within(t, len(line)+membersOf(line), func() { _, _ = reader.parse(line) })
		op, err := reader.parse(line)
		if err == nil {
			require.NotEmpty(t, txnMembers[op.op])
			require.True(t, len(op.key) > 0 || len(op.end) > 0)
		}
	})
}
