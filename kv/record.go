package kv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// A record is one commit as kv/kvpb/commit.proto says it, in canonical form: fields in the order of their numbers, zero
// values left out. Here it is written straight into a reused buffer, and read by a strict reader, which can say what is wrong.

// The field numbers of kv/kvpb/commit.proto.
const (
	fieldCommitTime      protowire.Number = 1
	fieldCommitMutations protowire.Number = 2

	fieldMutationKind     protowire.Number = 1
	fieldMutationKey      protowire.Number = 2
	fieldMutationValue    protowire.Number = 3
	fieldMutationEnd      protowire.Number = 4
	fieldMutationDeadline protowire.Number = 5
	fieldMutationDecision protowire.Number = 6

	fieldDecisionTerm       protowire.Number = 1
	fieldDecisionKind       protowire.Number = 2
	fieldDecisionAppended   protowire.Number = 3
	fieldDecisionExtensions protowire.Number = 4
	fieldDecisionCommitted  protowire.Number = 5
	fieldDecisionBase       protowire.Number = 6
	fieldDecisionData       protowire.Number = 7
)

const (
	varintType = protowire.VarintType
	bytesType  = protowire.BytesType
	// fieldTagSize is the size of a field's tag: every field number of the schema is below 16.
	fieldTagSize = 1
	// recordHeadRoom is the most that stands before a record's mutations: the commit's time.
	recordHeadRoom = fieldTagSize + binary.MaxVarintLen64
)

var (
	errFieldNumber = errors.New("field number is out of range")
	errFieldType   = errors.New("field has the wrong type")
	errNoKind      = errors.New("mutation has no kind")
	errNoKey       = errors.New("mutation has no key")
	errDecision    = errors.New("decision can't be read")
	errNewerKind   = fmt.Errorf("%w: unknown kind of mutation", ErrVersion)
)

// mutationFieldSize returns the length of what appendMutationField appends.
func mutationFieldSize(m *Mutation) int { return fieldTagSize + protowire.SizeBytes(mutationSize(m)) }

func mutationSize(m *Mutation) (size int) {
	for _, value := range [...]uint64{uint64(m.Kind), uint64(unixNano(m.Deadline))} {
		if value != 0 {
			size += fieldTagSize + protowire.SizeVarint(value)
		}
	}
	for _, value := range [...][]byte{m.Key, m.Value, m.End} {
		if len(value) > 0 {
			size += fieldTagSize + protowire.SizeBytes(len(value))
		}
	}
	return size
}

// appendMutationField appends a mutation as a field of a record.
func appendMutationField(record []byte, m *Mutation) []byte {
	record = appendTag(record, fieldCommitMutations, protowire.BytesType)
	record = protowire.AppendVarint(record, uint64(mutationSize(m)))
	return appendMutation(record, m)
}

func appendMutation(record []byte, m *Mutation) []byte {
	record = appendVarintField(record, fieldMutationKind, uint64(m.Kind))
	record = appendBytesField(record, fieldMutationKey, m.Key)
	record = appendBytesField(record, fieldMutationValue, m.Value)
	record = appendBytesField(record, fieldMutationEnd, m.End)
	return appendVarintField(record, fieldMutationDeadline, uint64(unixNano(m.Deadline)))
}

// appendTag appends a field's tag, of fieldTagSize.
func appendTag(record []byte, number protowire.Number, of protowire.Type) []byte {
	return append(record, byte(protowire.EncodeTag(number, of)))
}

func appendVarintField(record []byte, number protowire.Number, value uint64) []byte {
	if value == 0 {
		return record
	}
	return protowire.AppendVarint(appendTag(record, number, protowire.VarintType), value)
}

func appendBytesField(record []byte, number protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return record
	}
	return appendMessageField(record, number, value)
}

// appendMessageField is appendBytesField of a message, which is there even if it is empty.
func appendMessageField(record []byte, number protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(appendTag(record, number, protowire.BytesType), message)
}

// decodeRecord appends the mutations of a record, with memory of their own, to mutations, and returns the commit's time. Limits
// on sizes are the writer's business. The error is ErrVersion where a newer version wrote the record.
func decodeRecord(record []byte, mutations []Mutation) (timeUnixNano int64, _ []Mutation, err error) {
	timeUnixNano, err = visitRecord(record, func(m Mutation) { mutations = append(mutations, m.own()) })
	if err != nil {
		return 0, nil, err
	}
	return timeUnixNano, mutations, nil
}

// visitRecord calls a function for each mutation of a record, which points into the record, and returns the commit's time. It
// allocates nothing. Errors are those of decodeRecord, and come after the mutations before the one that is wrong.
func visitRecord(record []byte, visit func(m Mutation)) (timeUnixNano int64, err error) {
	for number := 0; len(record) > 0; {
		var f field
		if f, record, err = nextField(record); err != nil {
			return 0, err
		}
		switch f.number {
		case fieldCommitTime:
			timeUnixNano, err = int64(f.varint), f.check(protowire.VarintType)
		case fieldCommitMutations:
			if err = f.check(protowire.BytesType); err == nil {
				var m Mutation
				if m, err = parseMutation(f.bytes); err != nil {
					return 0, fmt.Errorf("mutation %d: %w", number, err)
				}
				visit(m)
				number++
			}
		}
		if err != nil {
			return 0, err
		}
	}
	return timeUnixNano, nil
}

// recordTime returns the commit's time alone, which comes first in a canonical record.
func recordTime(record []byte) (timeUnixNano int64, err error) {
	for len(record) > 0 {
		var f field
		if f, record, err = nextField(record); err != nil {
			return 0, err
		}
		if f.number == fieldCommitTime {
			return int64(f.varint), f.check(protowire.VarintType)
		}
	}
	return 0, nil
}

// take sets what a field says. One that isn't known is left out.
func (d *decision) take(f field) error {
	want := protowire.VarintType
	switch f.number {
	case fieldDecisionTerm:
		d.term = f.varint
	case fieldDecisionKind:
		d.kind = f.varint
	case fieldDecisionAppended:
		d.appended = int64(f.varint)
	case fieldDecisionCommitted:
		d.committed = f.varint
	case fieldDecisionBase:
		d.base = f.varint
	case fieldDecisionExtensions:
		d.extensions, want = f.bytes, protowire.BytesType
	case fieldDecisionData:
		d.data, want = f.bytes, protowire.BytesType
	default:
		return nil
	}
	return f.check(want)
}

// next makes the mutation the first of a batch's, and returns the others. It points into the batch. Those bytes are this
// process's own, in canonical form, and decoding them is a part of each commit: so this is short and checks nothing.
func (m *Mutation) next(encoded []byte) (rest []byte) {
	*m = Mutation{}
	size, n := cutVarint(encoded[fieldTagSize:])
	encoded, rest = encoded[fieldTagSize+n:][:size], encoded[fieldTagSize+n:][size:]
	for len(encoded) > 0 {
		number := protowire.Number(encoded[0] >> 3)
		value, n := cutVarint(encoded[fieldTagSize:])
		encoded = encoded[fieldTagSize+n:]
		switch number {
		case fieldMutationKind:
			m.Kind = MutationKind(value)
			continue
		case fieldMutationDeadline:
			m.Deadline = deadlineTime(int64(value))
			continue
		case fieldMutationKey:
			m.Key = encoded[:value]
		case fieldMutationValue:
			m.Value = encoded[:value]
		case fieldMutationEnd:
			m.End = encoded[:value]
		}
		encoded = encoded[value:]
	}
	return rest
}

func cutVarint(encoded []byte) (uint64, int) {
	if encoded[0] < 0x80 {
		return uint64(encoded[0]), 1
	}
	return binary.Uvarint(encoded)
}

// parseDecision returns the decision of a record's first mutation, and false where that is another one.
func parseDecision(mutation []byte) (d decision, found bool, err error) {
	f, rest, err := nextField(mutation)
	if err != nil || f.number != fieldMutationKind || f.wireType != protowire.VarintType || f.varint != kindDecision {
		return d, false, nil // If it is damaged, its reader says so.
	}
	if f, rest, err = nextField(rest); err == nil {
		err = f.check(protowire.BytesType)
	}
	if err != nil || f.number != fieldMutationDecision || len(rest) > 0 {
		return d, true, errors.Join(errDecision, err)
	}
	for encoded := f.bytes; len(encoded) > 0; {
		if f, encoded, err = nextField(encoded); err == nil {
			err = d.take(f)
		}
		if err != nil {
			return d, true, errors.Join(errDecision, err)
		}
	}
	return d, true, nil
}

// parseMutation returns a mutation that points into what it is encoded in, with whatever fields are there. Only a damaged record,
// or a mistaken writer, lacks a kind or a key.
func parseMutation(encoded []byte) (m Mutation, err error) {
	for len(encoded) > 0 {
		var f field
		if f, encoded, err = nextField(encoded); err != nil {
			return m, err
		}
		switch f.number {
		case fieldMutationKind:
			if m.Kind, err = MutationKind(f.varint), f.check(protowire.VarintType); f.varint > uint64(MutationDeleteRange) {
				err = fmt.Errorf("%w: %d", errNewerKind, f.varint)
			}
		case fieldMutationKey:
			m.Key, err = f.bytes, f.check(protowire.BytesType)
		case fieldMutationValue:
			m.Value, err = f.bytes, f.check(protowire.BytesType)
		case fieldMutationEnd:
			m.End, err = f.bytes, f.check(protowire.BytesType)
		case fieldMutationDeadline:
			m.Deadline, err = deadlineTime(int64(f.varint)), f.check(protowire.VarintType)
		case fieldMutationDecision: // It stands alone: see parseDecision.
			err = errDecision
		}
		if err != nil {
			return m, err
		}
	}
	switch {
	case m.Kind == 0:
		err = errNoKind
	case m.Kind != MutationDeleteRange && len(m.Key) == 0:
		err = errNoKey
	}
	return m, err
}

// field is one field of an encoded message. Of varint and bytes, the one of its type is set.
type field struct {
	number   protowire.Number
	wireType protowire.Type
	varint   uint64
	bytes    []byte
}

// check says that a field which the schema knows has not the type it has there.
func (f field) check(want protowire.Type) error {
	if f.wireType != want {
		return fmt.Errorf("%w: field %d has wire type %d, not %d", errFieldType, f.number, f.wireType, want)
	}
	return nil
}

// nextField returns the first field of a message and what follows it.
func nextField(message []byte) (field, []byte, error) {
	number, typ, n := protowire.ConsumeTag(message)
	if n < 0 {
		return field{}, nil, protowire.ParseError(n)
	}
	if number > protowire.MaxValidNumber {
		return field{}, nil, fmt.Errorf("%w: %d", errFieldNumber, number)
	}
	f := field{number: number, wireType: typ}
	message = message[n:]
	switch typ {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(message)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(message)
	default:
		n = protowire.ConsumeFieldValue(number, typ, message)
	}
	if n < 0 {
		return field{}, nil, fmt.Errorf("field %d: %w", number, protowire.ParseError(n))
	}
	return f, message[n:], nil
}
