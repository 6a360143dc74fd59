package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// pair is a pair of an import, with its line. Its bytes are valid until the next pair is read.
type pair struct {
	key, value []byte
	deadline   time.Time // Zero for none.
	line       int
}

// pairReader reads the pairs of an import in the order of the input. The error of next is io.EOF at the end, or a *lineError.
type pairReader interface {
	next() (pair, error)
}

// jsonlReader reads one JSON object a line. Empty lines are skipped.
type jsonlReader struct {
	lines *lineReader
	enc   encoding
	// keyField and valueField name the members that hold key and value. If keyField is empty, the objects are pairs as export
	// writes them; if only valueField is empty, the value is the whole object.
	keyField, valueField string

	members map[string]json.RawMessage // Of the line being read; reused.
}

func (r *jsonlReader) next() (pair, error) {
	for {
		line, err := r.lines.next()
		if err != nil {
			return pair{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		p := pair{line: r.lines.line}
		if err := r.parse(line, &p); err != nil {
			return pair{}, &lineError{p.line, err}
		}
		return p, nil
	}
}

// parse takes a pair out of one object.
func (r *jsonlReader) parse(line []byte, p *pair) (err error) {
	if r.members == nil {
		r.members = map[string]json.RawMessage{}
	}
	object := r.members
	if err := splitObject(line, object); err != nil {
		return err
	}
	switch {
	case r.keyField == "" && r.valueField == "":
		return r.parsePair(object, p)
	case r.valueField == "":
		p.value, err = compactJSON(line)
	default:
		p.value, err = r.member(object, r.valueField, r.anyValue)
	}
	if err == nil {
		p.key, err = r.member(object, r.keyField, r.keyValue)
	}
	return err
}

// parsePair reads an object as export writes it. It refuses any other member, so that nothing is lost silently.
func (r *jsonlReader) parsePair(object map[string]json.RawMessage, p *pair) (err error) {
	for name, raw := range object {
		switch name {
		case "key", "key_base64", "value", "value_base64", "deadline":
		case "kind":
			if string(raw) != `"pair"` {
				return fmt.Errorf("\"kind\": %s is no pair; to store whole objects say --key FIELD", raw)
			}
		default:
			return fmt.Errorf("a pair has no member %s; to store whole objects say --key FIELD", shown(name))
		}
	}
	if p.key, err = r.pairMember(object, "key", r.keyValue); err != nil {
		return err
	}
	if p.value, err = r.pairMember(object, "value", r.anyValue); err != nil {
		return err
	}
	p.deadline, err = deadlineMember(object)
	return err
}

// deadlineMember returns the deadline of a pair; zero for none.
func deadlineMember(object map[string]json.RawMessage) (deadline time.Time, err error) {
	raw, has := object["deadline"]
	if !has {
		return deadline, nil
	}
	if err := json.Unmarshal(raw, &deadline); err != nil || deadline.IsZero() {
		return deadline, fmt.Errorf("\"deadline\": %s is no time such as %s", raw, formatTime(time.Unix(0, 0)))
	}
	return deadline, nil
}

// pairMember reads a member named name or name_base64.
func (r *jsonlReader) pairMember(object map[string]json.RawMessage, name string, read func([]byte) ([]byte, error)) (
	[]byte, error,
) {
	raw, isBase64 := object[name+"_base64"]
	if !isBase64 {
		return r.member(object, name, read)
	}
	if _, both := object[name]; both {
		return nil, fmt.Errorf("both %q and %q", name, name+"_base64")
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, fmt.Errorf("%q is not a string", name+"_base64")
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name+"_base64", err)
	}
	return data, nil
}

func (r *jsonlReader) member(object map[string]json.RawMessage, name string, read func([]byte) ([]byte, error)) (
	[]byte, error,
) {
	raw, ok := object[name]
	if !ok {
		return nil, fmt.Errorf("no member %s", shown(name))
	}
	data, err := read(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown(name), err)
	}
	return data, nil
}

// keyValue reads a key: a string, or a number as it is written.
func (r *jsonlReader) keyValue(raw []byte) ([]byte, error) {
	switch first := raw[0]; {
	case first == '"':
		return r.stringValue(raw)
	case first == '-' || first >= '0' && first <= '9':
		return bytes.Clone(raw), nil
	}
	return nil, errors.New("a key is a string or a number")
}

// anyValue reads a value: a string decoded, or anything else as compact JSON.
func (r *jsonlReader) anyValue(raw []byte) ([]byte, error) {
	if raw[0] == '"' {
		return r.stringValue(raw)
	}
	return compactJSON(raw)
}

func (r *jsonlReader) stringValue(raw []byte) ([]byte, error) {
	text, err := unquoteJSON(raw)
	if err != nil {
		return nil, err
	}
	return r.enc.decode(text)
}

// unquoteJSON decodes a JSON string in a line that splitObject took. The decoder alone would silently replace lone surrogates
// by U+FFFD.
func unquoteJSON(raw []byte) (string, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", describeJSON(err)
	}
	if strings.ContainsRune(text, utf8.RuneError) && hasLoneSurrogate(raw) {
		return "", errors.New("lone surrogate: half of a pair is no character")
	}
	return text, nil
}

// hasLoneSurrogate reports whether a valid JSON string has a \uD800 to \uDFFF escape that isn't half of a pair.
func hasLoneSurrogate(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		unit := escapedUnit(raw[i:])
		i++ // An escape takes at least two bytes; a second backslash doesn't begin another.
		if unit < 0xd800 || unit > 0xdfff {
			continue
		}
		next := escapedUnit(raw[i+5:])
		if unit > 0xdbff || next < 0xdc00 || next > 0xdfff {
			return true
		}
		i += 10
	}
	return false
}

// escapedUnit returns the code unit of the \u escape that raw begins with, or 0 if it begins with none.
func escapedUnit(raw []byte) uint64 {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0
	}
	unit, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return unit
}

// compactJSON returns a JSON value without white space, and otherwise byte for byte.
func compactJSON(raw []byte) ([]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, describeJSON(err)
	}
	return compact.Bytes(), nil
}
