package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// slowPair is a pair's line as encoding/json writes it.
func slowPair(t *testing.T, kind string, enc encoding, key, value []byte, deadline time.Time) string {
	t.Helper()
	line := struct {
		Kind string `json:"kind"`
		pairJSON
	}{Kind: kind}
	line.Key, line.KeyBase64 = enc.jsonForm(key)
	if kind == kindPair {
		line.Value, line.ValueBase64 = enc.jsonForm(value)
	}
	if !deadline.IsZero() {
		line.Deadline = formatTime(deadline)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	require.NoError(t, encoder.Encode(line))
	return out.String()
}

func requireSamePair(t *testing.T, key, value []byte, deadline time.Time) {
	t.Helper()
	for _, enc := range []encoding{encodingUTF8, encodingHex, encodingBase64} {
		for _, kind := range []string{kindPair, kindKey} {
			require.Equal(t, slowPair(t, kind, enc, key, value, deadline), string(appendPairJSON(nil, kind, enc, key, value, deadline)))
		}
	}
}

func TestAPairIsWrittenAsEncodingJSONWritesIt(t *testing.T) {
	for r := range rune(0x3000) { // Every character that any escape is about, and the longest encodings of one.
		requireSamePair(t, []byte("k"), []byte("before"+string(r)+"after"), time.Time{})
	}
	for b := range 256 {
		requireSamePair(t, []byte{byte(b)}, []byte{'a', byte(b), 0xe2, 0x80}, time.Unix(0, int64(b)))
	}
	requireSamePair(t, []byte("k"), nil, time.Unix(0, 1).In(time.FixedZone("elsewhere", 3600)))
	requireSamePair(t, []byte("\u2028\u2029\u2027\u202a\u20ac"), []byte("\"\\</script>&"), time.Unix(1<<40, 999999999))
}

// FuzzPairJSON compares the encoder with encoding/json.
func FuzzPairJSON(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x00\b\f\n\r\t\x1f\x7f\"\\", "\u2028\u2029", "\xff", "\xe2\x80", "😀\ufffd"} {
		f.Add([]byte(seed), []byte(seed+"x"), int64(len(seed)))
	}
	f.Fuzz(func(t *testing.T, key, value []byte, deadline int64) {
		requireSamePair(t, key, value, time.Unix(0, deadline))
	})
}

func TestTheLargestPairsFitALineOfImport(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	key, value := bytes.Repeat([]byte{1}, kv.MaxKeySize), make([]byte, kv.MaxValueSize)
	for _, c := range []struct {
		name string
		fill byte
		enc  encoding
		want string
	}{
		{"a value of letters is a string", 'a', encodingUTF8, `"value":`},
		{"one of which every byte would be an escape of six is base64", 1, encodingUTF8, `"value_base64":`},
		{"one of bytes is base64", 0xff, encodingUTF8, `"value_base64":`},
		{"hex takes two digits a byte", 1, encodingHex, `"value":`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range value {
				value[i] = c.fill
			}
			line := appendPairJSON(nil, kindPair, c.enc, key, value, time.Unix(1, 1))
			require.LessOrEqual(t, len(line), maxLine)
			require.Contains(t, string(line[:7*kv.MaxKeySize]), c.want)
			var read pair
			require.NoError(t, (&jsonlReader{enc: c.enc}).parse(bytes.TrimSuffix(line, []byte("\n")), &read))
			require.True(t, bytes.Equal(key, read.key))
			require.True(t, bytes.Equal(value, read.value))
		})
	}
}

func BenchmarkPairJSON(b *testing.B) {
	key, value := []byte("user:000000001"), []byte(strings.Repeat("value ", 14))
	var line []byte
	for b.Loop() {
		line = appendPairJSON(line[:0], kindPair, encodingUTF8, key, value, time.Time{})
	}
	b.SetBytes(int64(len(line)))
}
