package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/walnutkv/walnut/kv"
)

// encoding says how bytes are written as text: on the command line, in text output, and in JSON.
//
// Invariant: for each encoding, the output of appendText or jsonForm determines the bytes that it was given.
type encoding string

const (
	// encodingUTF8 takes arguments as they are. In text output, appendEscaped escapes what a terminal can't show.
	encodingUTF8 encoding = "utf8"
	// encodingHex is two hexadecimal digits a byte.
	encodingHex encoding = "hex"
	// encodingBase64 is base64 with padding, as RFC 4648 section 4 has it.
	encodingBase64 encoding = "base64"
)

// decode returns the bytes that an argument stands for.
func (e encoding) decode(text string) ([]byte, error) {
	var data []byte
	var err error
	switch e {
	case encodingHex:
		data, err = hex.DecodeString(text)
	case encodingBase64:
		data, err = base64.StdEncoding.Strict().DecodeString(text)
	default:
		return []byte(text), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not %s: %w", shown(text), e, err)
	}
	return data, nil
}

// argument is decode for an argument or the value of a flag. Text that doesn't decode is wrong usage.
func (e encoding) argument(name, text string) ([]byte, error) {
	data, err := e.decode(text)
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	return data, nil
}

// keyArgument is argument for a key, which has at least one byte.
func (a *app) keyArgument(name, text string) ([]byte, error) {
	key, err := a.enc().argument(name, text)
	if err == nil && len(key) == 0 {
		err = usagef("%s: %w", name, kv.ErrEmptyKey)
	}
	return key, err
}

// prefixOf returns bytes that every key begins with whose text begins with a word. There are none where no key's text does so.
func (e encoding) prefixOf(word string) []byte {
	var data []byte
	switch e {
	case encodingHex:
		data, _ = hex.DecodeString(word)
	case encodingBase64:
		digits := strings.TrimRight(word, "=")
		if len(digits)%4 == 1 {
			digits = digits[:len(digits)-1] // Six bits are no byte.
		}
		data, _ = base64.RawStdEncoding.DecodeString(digits)
	default:
		data = []byte(word)
	}
	return data
}

// word returns the bytes as a word that a shell can complete on a command line, and whether they can be one: it isn't taken for a flag,
// and no character of it means anything to a shell. Completion scripts evaluate what stands on the command line, so a key of a store
// that somebody else wrote could otherwise run a command.
func (e encoding) word(data []byte) (text string, ok bool) {
	const most = 256
	if len(data) > most {
		return "", false
	}
	text = string(e.appendText(nil, data))
	special := func(r rune) bool { return !isShellSafe(r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	return text, !strings.HasPrefix(text, "-") && !strings.ContainsFunc(text, special)
}

// appendText appends the bytes as text output shows them: on one line and without a tab.
func (e encoding) appendText(dst, data []byte) []byte {
	switch e {
	case encodingHex:
		return hex.AppendEncode(dst, data)
	case encodingBase64:
		return base64.StdEncoding.AppendEncode(dst, data)
	}
	return appendEscaped(dst, data)
}

// jsonForm returns the string that stands for the bytes in JSON. Bytes that aren't valid UTF-8 have no such string: they are
// returned as they are, for a member whose name ends in _base64.
func (e encoding) jsonForm(data []byte) (text *string, raw []byte) {
	if e == encodingUTF8 && !utf8.Valid(data) {
		return nil, data
	}
	form := string(data)
	if e != encodingUTF8 {
		form = string(e.appendText(nil, data))
	}
	return &form, nil
}

// appendEscaped appends printable UTF-8 as it is and everything else escaped: \\ for a backslash, \t, \n and \r, and
// \xNN for any other byte.
func appendEscaped(dst, data []byte) []byte {
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == '\\':
			dst = append(dst, `\\`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			dst = append(dst, data[:size]...)
		default:
			dst = appendHexEscapes(dst, data[:size])
		}
		data = data[size:]
	}
	return dst
}

func appendHexEscapes(dst, data []byte) []byte {
	const digits = "0123456789abcdef"
	for _, b := range data {
		dst = append(dst, '\\', 'x', digits[b>>4], digits[b&15])
	}
	return dst
}

// shown quotes a key or an argument for an error message, shortened if it is long.
func shown[T string | []byte](data T) string {
	const most = 80
	if len(data) > most {
		return fmt.Sprintf("%s… (%d bytes)", strconv.Quote(string(data[:most])), len(data))
	}
	return strconv.Quote(string(data))
}
