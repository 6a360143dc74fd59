package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// The operations of a transaction.
const (
	opPut         = "put"
	opDelete      = "delete"
	opDeleteRange = "delete_range"
	opExpect      = "expect"
)

// txnMembers are the members that the line of each operation may have besides "op".
var txnMembers = map[string][]string{
	opPut:         {"key", "key_base64", "value", "value_base64", "deadline"},
	opDelete:      {"key", "key_base64"},
	opDeleteRange: {"start", "start_base64", "end", "end_base64"},
	opExpect:      {"key", "key_base64", "value", "value_base64", "absent"},
}

// txnOp is one line of a transaction.
type txnOp struct {
	line     int
	op       string
	key      []byte // The start of a range; nil if that is open.
	end      []byte // Of a range; nil if it is open.
	value    []byte
	deadline time.Time // Zero for none.
	absent   bool      // What is expected is no pair at all.
}

// txnReader reads the lines of a transaction.
//
// Invariant: what it returned takes no more than max bytes of keys and values, each line counted with pairOverhead.
type txnReader struct {
	lines *lineReader
	enc   encoding
	max   int
}

// maxTxn bounds a transaction in memory. A commit takes at most half of it; the rest is for expectations.
const maxTxn = 2 * kv.DefaultMaxCommitSize

// readAll returns every operation, or the first error, which is a *lineError.
func (r *txnReader) readAll() (ops []txnOp, err error) {
	size := 0
	for {
		line, err := r.lines.next()
		if err == io.EOF {
			return ops, nil
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		op, err := r.parse(line)
		size += len(op.key) + len(op.end) + len(op.value) + pairOverhead
		if err == nil && size > r.max {
			err = fmt.Errorf("the transaction takes more than %d bytes; import writes any number of pairs", r.max)
		}
		if err != nil {
			return nil, &lineError{r.lines.line, err}
		}
		op.line = r.lines.line
		ops = append(ops, op)
	}
}

// parse reads one line. It refuses members that it doesn't know, so that nothing is lost silently.
func (r *txnReader) parse(line []byte) (txnOp, error) {
	object := map[string]json.RawMessage{}
	if err := splitObject(bytes.Clone(line), object); err != nil { // The members are parts of it, and outlive the line.
		return txnOp{}, err
	}
	var op txnOp
	raw, has := object["op"]
	if !has {
		return op, errors.New(`no member "op"`)
	}
	if err := json.Unmarshal(raw, &op.op); err != nil || txnMembers[op.op] == nil {
		said := shown([]byte(raw))
		if err == nil {
			said = shown(op.op)
		}
		return op, fmt.Errorf("\"op\": %s is none of put, delete, delete_range, expect", said)
	}
	for name := range object {
		if name != "op" && !slices.Contains(txnMembers[op.op], name) {
			return op, fmt.Errorf("%s has no member %s; it has %s", op.op, shown(name), strings.Join(txnMembers[op.op], ", "))
		}
	}
	return op, r.fill(&op, object)
}

// fill reads the members of an operation and checks the store's limits, so that an error names the line.
func (r *txnReader) fill(op *txnOp, object map[string]json.RawMessage) (err error) {
	members := &jsonlReader{enc: r.enc}
	if op.op == opDeleteRange {
		return r.fillRange(op, object)
	}
	if op.key, err = members.pairMember(object, "key", members.keyValue); err != nil {
		return err
	}
	switch op.op {
	case opPut:
		if op.value, err = members.pairMember(object, "value", members.anyValue); err != nil {
			return err
		}
		op.deadline, err = deadlineMember(object)
	case opExpect:
		err = r.fillExpected(op, object)
	}
	if err == nil {
		err = pairLimits(pair{key: op.key, value: op.value})
	}
	return err
}

func (r *txnReader) fillExpected(op *txnOp, object map[string]json.RawMessage) (err error) {
	members := &jsonlReader{enc: r.enc}
	raw, has := object["absent"]
	_, asText := object["value"]
	_, asBase64 := object["value_base64"]
	switch {
	case has && (asText || asBase64):
		return errors.New(`both "absent" and a value are expected`)
	case has && string(raw) != "true":
		return fmt.Errorf("\"absent\": %s is not true; for a pair that is there, expect its value", shown([]byte(raw)))
	case !has && !asText && !asBase64:
		return errors.New(`no member "value", "value_base64" or "absent"`)
	case has:
		op.absent = true
		return nil
	}
	op.value, err = members.pairMember(object, "value", members.anyValue)
	return err
}

// fillRange reads a range with at least one bound. A line must not delete every key by an oversight.
func (r *txnReader) fillRange(op *txnOp, object map[string]json.RawMessage) error {
	members := &jsonlReader{enc: r.enc}
	for _, bound := range []struct {
		name string
		into *[]byte
	}{{"start", &op.key}, {"end", &op.end}} {
		_, asText := object[bound.name]
		_, asBase64 := object[bound.name+"_base64"]
		if !asText && !asBase64 {
			continue
		}
		data, err := members.pairMember(object, bound.name, members.keyValue)
		if err != nil {
			return err
		}
		if len(data) > kv.MaxKeySize {
			return fmt.Errorf("%q: %w: %d bytes, at most %d", bound.name, kv.ErrKeyTooLarge, len(data), kv.MaxKeySize)
		}
		*bound.into = data
	}
	if len(op.key) == 0 && len(op.end) == 0 {
		return errors.New("the range has neither a start nor an end, which would be every key")
	}
	return nil
}

// pairLimits is checkLimits without the number of a line.
func pairLimits(p pair) error {
	var line *lineError
	if errors.As(checkLimits(p), &line) {
		return line.err
	}
	return nil
}
