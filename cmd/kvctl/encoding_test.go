package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unescape is the inverse of appendEscaped, as scan's help describes the escapes.
func unescape(text string) ([]byte, error) {
	var data []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			data = append(data, text[i])
			continue
		}
		rest := text[i+1:]
		if letter := strings.IndexByte(`\tnr`, firstByte(rest)); letter >= 0 {
			data = append(data, "\\\t\n\r"[letter])
			i++
			continue
		}
		if len(rest) < 3 || rest[0] != 'x' {
			return nil, errors.New("no such escape")
		}
		b, err := strconv.ParseUint(rest[1:3], 16, 8)
		if err != nil {
			return nil, err
		}
		data = append(data, byte(b))
		i += 3
	}
	return data, nil
}

func firstByte(text string) byte {
	if text == "" {
		return 0
	}
	return text[0]
}

func TestEscapedTextShowsWhatATerminalCan(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"nothing is nothing", "", ""},
		{"printable text stands as it is", "a b ü 日本 😀", "a b ü 日本 😀"},
		{"a backslash is doubled", `a\b`, `a\\b`},
		{"what would end the field or the line is named", "\t\n\r", `\t\n\r`},
		{"control characters are bytes", "\x00\x1b\x7f", `\x00\x1b\x7f`},
		{"spaces that look like others are bytes", "\u00a0\u2028", `\xc2\xa0\xe2\x80\xa8`},
		{"marks that reorder text are bytes", "\u202e", `\xe2\x80\xae`},
		{"what isn't UTF-8 is bytes", "a\xff\xc3", `a\xff\xc3`},
		{"the replacement character is a character", "\ufffd", "\ufffd"},
		{"an encoded surrogate isn't UTF-8", "\xed\xa0\x80", `\xed\xa0\x80`},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, string(appendEscaped(nil, []byte(c.data))))
		})
	}
}

func TestArgumentsAreDecodedStrictly(t *testing.T) {
	for _, c := range []struct {
		name string
		enc  encoding
		text string
		want []byte // Nil if the text must be refused.
	}{
		{"utf8 takes bytes as they are, escapes too", encodingUTF8, "a\\t\xff", []byte("a\\t\xff")},
		{"hex takes both cases", encodingHex, "0aFF", []byte{0x0a, 0xff}},
		{"hex refuses half a byte", encodingHex, "0", nil},
		{"hex refuses other letters", encodingHex, "0g", nil},
		{"base64 takes padding", encodingBase64, "/w==", []byte{0xff}},
		{"base64 refuses missing padding", encodingBase64, "/w", nil},
		{"base64 refuses bits that stand for nothing", encodingBase64, "/x==", nil},
		{"base64 refuses the URL alphabet", encodingBase64, "_w==", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := c.enc.decode(c.text)
			if c.want == nil {
				require.ErrorContains(t, err, string(c.enc))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, data)
		})
	}
}

// FuzzTextRoundTrip shows the invariant of encoding: what it writes determines the bytes, as text and as JSON.
func FuzzTextRoundTrip(f *testing.F) {
	for _, seed := range []string{"", "plain", "tab\tline\n\\x41", "\xff\xfe", "\u2028\ufffd", "\x00\"</script>"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, enc := range []encoding{encodingUTF8, encodingHex, encodingBase64} {
			text := string(enc.appendText(nil, data))
			require.NotContains(t, text, "\n", "a pair is one line")
			require.NotContains(t, text, "\t", "a tab ends the key")
			back, err := enc.decode(text)
			if enc == encodingUTF8 {
				back, err = unescape(text)
			}
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, back), "%s: %q came back as %q", enc, data, back)
			requireImportReads(t, enc, data)
		}
	})
}

// requireImportReads checks that a pair which export writes is the pair that import reads.
func requireImportReads(t *testing.T, enc encoding, data []byte) {
	t.Helper()
	var written pairJSON
	written.Key, written.KeyBase64 = enc.jsonForm(append([]byte("k"), data...))
	written.Value, written.ValueBase64 = enc.jsonForm(data)
	line, err := json.Marshal(written)
	require.NoError(t, err)
	var read pair
	require.NoError(t, (&jsonlReader{enc: enc}).parse(line, &read), "%s", line)
	require.Equal(t, "k"+string(data), string(read.key))
	require.Equal(t, string(data), string(read.value))
}

func TestALongKeyIsShortenedInMessages(t *testing.T) {
	require.Equal(t, `"a\nb"`, shown("a\nb"))
	require.Equal(t, `"`+strings.Repeat("k", 80)+`"… (1000 bytes)`, shown(bytes.Repeat([]byte("k"), 1000)))
}
