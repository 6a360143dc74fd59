package main

import (
	"encoding/base64"
	"time"
	"unicode/utf8"
)

// maxJSONString is the longest JSON string that export writes for a value. Import must have room for the line. A longer one,
// most bytes of which are escapes, is written as base64.
const maxJSONString = maxLine - 1<<20

// appendPairJSON appends a pair, or a key alone, as JSON output has it and import reads it. It does by hand, byte for byte, what
// encoding/json would do by reflection, since an export writes millions.
func appendPairJSON(dst []byte, kind string, enc encoding, key, value []byte, deadline time.Time) []byte {
	dst = append(append(append(dst, `{"kind":"`...), kind...), '"')
	dst = appendMember(dst, "key", enc, key)
	if kind == kindPair {
		dst = appendMember(dst, "value", enc, value)
	}
	if !deadline.IsZero() {
		dst = append(dst, `,"deadline":"`...)
		dst = append(deadline.UTC().AppendFormat(dst, time.RFC3339Nano), '"')
	}
	return append(dst, '}', '\n')
}

// appendMember appends the member for bytes, under the name of what jsonForm makes of them.
func appendMember(dst []byte, name string, enc encoding, data []byte) []byte {
	dst = append(append(dst, ',', '"'), name...)
	start := len(dst)
	if enc != encodingUTF8 {
		dst = append(dst, `":"`...)
		return append(enc.appendText(dst, data), '"')
	}
	if utf8.Valid(data) {
		dst = appendJSONString(append(dst, '"', ':'), data)
		if len(dst)-start <= maxJSONString {
			return dst
		}
	}
	dst = append(dst[:start], `_base64":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, data), '"')
}

// appendJSONString appends valid UTF-8 as encoding/json does if it doesn't escape HTML.
func appendJSONString(dst, text []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for at := 0; at < len(text); {
		b := text[at]
		size := 1
		switch {
		case b >= ' ' && b != '"' && b != '\\' && b != lineSeparators[0]:
			at++
			continue
		case b == lineSeparators[0]: // Only two of the characters that begin with this byte.
			size = 3
			if text[at+1] != lineSeparators[1] || text[at+2]&^1 != lineSeparators[2] {
				at += size
				continue
			}
		}
		dst = appendJSONEscape(append(dst, text[from:at]...), text[at:at+size])
		at += size
		from = at
	}
	return append(append(dst, text[from:]...), '"')
}

// lineSeparators are the bytes of U+2028. Those of U+2029 are the same but for the last bit. JavaScript once took both for line
// ends, so encoding/json escapes them.
const lineSeparators = "\u2028"

// appendJSONEscape appends the escape for a character.
func appendJSONEscape(dst, character []byte) []byte {
	const digits = "0123456789abcdef"
	switch b := character[0]; b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	case lineSeparators[0]:
		return append(append(dst, `\u202`...), digits[character[2]&15])
	default:
		return append(dst, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
	}
}
