package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A replica's log holds entries: records that begin with a decision, a mutation of a separate kind, so that a program which doesn't
// know of decisions refuses the log. A commit's entry has the mutations after it. An entry without any is no commit: a consensus puts
// others into its log as well. kv/kvpb/commit.proto explains the fields, docs/format.md shows the bytes.

const (
	// kindDecision is the kind of the mutation that holds a decision.
	kindDecision = 4
	// entryRoom is more than what a proposal, and the log, put around a commit's mutations, but for extensions.
	entryRoom = 128
)

var errNoProposal = errors.New("record is no proposal")

// decision is what a consensus says of an entry. What is proposed has base alone.
type decision struct {
	term       uint64
	kind       uint64 // 0 is a command.
	appended   int64  // In nanoseconds since 1970.
	extensions []byte
	committed  uint64 // Up to which offset entries are known to be committed.
	base       uint64 // Of a commit: the offset of the one that it was made on.
	data       []byte // Of what is no commit.
}

// append appends a decision's encoding.
func (d *decision) append(message []byte) []byte {
	message = appendVarintField(message, fieldDecisionTerm, d.term)
	message = appendVarintField(message, fieldDecisionKind, d.kind)
	message = appendVarintField(message, fieldDecisionAppended, uint64(d.appended))
	message = appendBytesField(message, fieldDecisionExtensions, d.extensions)
	message = appendVarintField(message, fieldDecisionCommitted, d.committed)
	message = appendVarintField(message, fieldDecisionBase, d.base)
	return appendBytesField(message, fieldDecisionData, d.data)
}

// entry is a record of a log that was looked at, with as much decoded as the acceptance rule needs. It points into the record.
type entry struct {
	made    int64 // The commit's time, in nanoseconds since 1970.
	decided bool  // It has a decision: it is a replica's. Otherwise it is a commit, and mutations are the whole record.
	decision
	mutations []byte // The mutations after the decision, encoded.
}

// readEntry looks at a record. Whether its mutations can be decoded shows when they are.
func readEntry(record []byte) (e entry, err error) {
	e.mutations = record
	if made, isPlain := plainTime(record); isPlain {
		e.made = made
		return e, nil
	}
	f, rest, err := field{}, record, error(nil)
	if len(rest) > 0 {
		f, rest, err = nextField(rest)
	}
	if err == nil && f.number == fieldCommitTime {
		e.made, err = int64(f.varint), f.check(varintType)
		if f = (field{}); err == nil && len(rest) > 0 {
			f, rest, err = nextField(rest)
		}
	}
	switch {
	case err != nil:
		return e, err
	case f.number != fieldCommitMutations || f.wireType != bytesType:
		e.made, err = recordTime(record) // It may not be canonical.
		return e, err
	}
	e.decision, e.decided, err = parseDecision(f.bytes)
	if e.decided {
		e.mutations = rest
	}
	return e, err
}

// plainTime returns the time of a commit whose record is canonical and has no decision, and false where that doesn't show at once. Every
// record of a start comes here: looking field by field would take four times as long.
func plainTime(record []byte) (made int64, isPlain bool) {
	const timeTag, mutationTag, kindTag = 0x08, 0x12, 0x08
	if len(record) > 0 && record[0] == timeTag {
		time, n := binary.Uvarint(record[1:])
		if n <= 0 {
			return 0, false
		}
		made, record = int64(time), record[1+n:]
	}
	if len(record) == 0 || record[0] != mutationTag {
		return 0, false
	}
	_, n := binary.Uvarint(record[1:])
	if n <= 0 || len(record) < 1+n+2 || record[1+n] != kindTag {
		return 0, false
	}
	return made, record[1+n+1] != kindDecision
}

// isCommit reports whether the acceptance rule decides about the entry.
func (e *entry) isCommit() bool { return !e.decided || e.kind == 0 && len(e.mutations) > 0 }

// append appends the entry's record.
func (e *entry) append(record []byte) []byte {
	record = appendVarintField(record, fieldCommitTime, uint64(e.made))
	var room, outer [entryRoom]byte
	inner := appendVarintField(outer[:0], fieldMutationKind, kindDecision)
	inner = appendMessageField(inner, fieldMutationDecision, e.decision.append(room[:0]))
	record = appendMessageField(record, fieldCommitMutations, inner)
	return append(record, e.mutations...)
}

// newProposal returns the record of a group of commits for a consensus to decide about.
func newProposal(made int64, base uint64, mutations []byte) []byte {
	e := entry{made: made, decision: decision{base: base}, mutations: mutations}
	return e.append(make([]byte, 0, entryRoom+len(mutations)))
}

// readProposal returns what a proposal says. The error, which is ErrVersion for one of a newer program, says why a record is none: then no
// program makes a commit of it.
func readProposal(record []byte) (e entry, err error) {
	if e, err = readEntry(record); err != nil {
		return e, err
	}
	var room [entryRoom]byte
	head := (&entry{made: e.made, decision: decision{base: e.base}}).append(room[:0])
	switch {
	case !e.decided || len(e.mutations) == 0:
		err = errNoProposal
	case len(record) != len(head)+len(e.mutations) || !bytes.HasPrefix(record, head):
		err = fmt.Errorf("%w: it is not in canonical form", errNoProposal)
	default:
		var second int64
		if second, err = visitRecord(e.mutations, func(Mutation) {}); err == nil && second != 0 {
			err = fmt.Errorf("%w: it has two times", errNoProposal)
		}
	}
	return e, err
}

// decodeEntry is decodeRecord for every record, a replica's as well, where what is no commit has no mutations. Whether a commit was
// accepted isn't known here.
func decodeEntry(record []byte, mutations []Mutation) (made int64, _ []Mutation, err error) {
	before := len(mutations)
	if made, err = visitEntry(record, func(m Mutation) { mutations = append(mutations, m.own()) }); err != nil {
		mutations = mutations[:before]
	}
	return made, mutations, err
}

// visitEntry is visitRecord as decodeEntry is decodeRecord. It takes no memory, where a list of the mutations may take many times as much
// as the record.
func visitEntry(record []byte, visit func(m Mutation)) (made int64, err error) {
	e, err := readEntry(record)
	if err == nil && e.isCommit() {
		_, err = visitRecord(e.mutations, visit)
	}
	return e.made, err
}

// checkEntry says why a record is none that decodeEntry takes.
func checkEntry(record []byte) error {
	_, err := visitEntry(record, func(Mutation) {})
	return err
}
