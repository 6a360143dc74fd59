package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// splitObject fills members, which it clears first, with the members of one JSON object, by name. Each is the text of the
// member's value, a part of line. What Go's decoder would change or drop silently is an error here: bytes that aren't UTF-8, and
// a second member of the same name. Values are not looked into: import stores an object inside of one byte for byte.
func splitObject(line []byte, members map[string]json.RawMessage) error {
	clear(members)
	if !utf8.Valid(line) {
		return fmt.Errorf(`not valid UTF-8, at byte %d; other bytes go into "key_base64" and "value_base64"`, validPrefix(line)+1)
	}
	if !json.Valid(line) {
		var none json.RawMessage
		return describeJSON(json.Unmarshal(line, &none)) // Says where and why.
	}
	rest := skipSpace(line)
	if rest[0] != '{' {
		return wrongKind(rest)
	}
	rest = skipSpace(rest[1:])
	for rest[0] != '}' {
		size := valueSize(rest)
		name, err := unquoteJSON(rest[:size])
		if err != nil {
			return err
		}
		if _, twice := members[name]; twice {
			return fmt.Errorf("two members %s", shown(name))
		}
		rest = skipSpace(skipSpace(rest[size:])[1:]) // The colon.
		size = valueSize(rest)
		members[name] = rest[:size:size]
		if rest = skipSpace(rest[size:]); rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}
	}
	return nil
}

// validPrefix returns the number of bytes before the first that isn't valid UTF-8.
func validPrefix(data []byte) int {
	at := 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

// skipSpace returns what follows JSON's white space.
func skipSpace(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// valueSize returns the length of the value that valid JSON begins with.
func valueSize(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringSize(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i // A number or a word, and what it is in ends here.
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

// stringSize returns the length of the string that valid JSON begins with, quotes included.
func stringSize(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// wrongKind says what a valid JSON text is that should be an object.
func wrongKind(text []byte) error {
	kind := "number"
	switch text[0] {
	case '[':
		kind = "array"
	case '"':
		kind = "string"
	case 't', 'f':
		kind = "bool"
	case 'n':
		return errors.New("null is not a JSON object")
	}
	return fmt.Errorf("a JSON %s, want an object", kind)
}

// describeJSON adds the place in the line to an error of the decoder.
func describeJSON(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("not JSON, at byte %d: %w", syntax.Offset, err)
	}
	return err
}
