package kv

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// pair is a key with its value and, where it has one, its deadline, all in one allocation: the key's bytes, the value's,
// and 8 bytes of deadline. A store holds millions of pairs, so a slice's capacity and a second pointer would be felt.
//
// Invariants: first points to an allocation of at least keySize + valueSize bytes, and 8 more where hasDeadline, or is
// nil where that sum is 0; both sizes are at most pairSizeMax; what first points to is never changed. Only newPair, newTombstone
// and probe make pairs, and only they, memory, near, holds and piece know of such pointers: all else goes through slices, whose bounds Go checks.
type pair struct {
	first     *byte
	keySize   uint32
	valueSize uint32 // The highest bit is hasDeadline.
}

const (
	deadlineFlag = 1 << 31
	deadlineSize = 8
	// pairSizeMax is the most that a key or a value can have. No record of a log is as long.
	pairSizeMax = math.MaxInt32
)

// A user may not ask for more than a pair can say.
const _ = uint(pairSizeMax - max(MaxKeySize, MaxValueSize))

// newPair copies a key and a value, each of at most pairSizeMax bytes. A deadline of 0 is none.
func newPair(key, value []byte, deadline int64) pair {
	p := pair{keySize: uint32(len(key)), valueSize: uint32(len(value))}
	size := len(key) + len(value)
	if deadline != 0 {
		p.valueSize |= deadlineFlag
		size += deadlineSize
	}
	memory := make([]byte, size)
	copy(memory, key)
	copy(memory[len(key):], value)
	if deadline != 0 {
		binary.NativeEndian.PutUint64(memory[size-deadlineSize:], uint64(deadline))
	}
	p.first = unsafe.SliceData(memory)
	return p
}

// newTombstone returns what says that a key has no pair: it has a deadline, and that is 0, as no pair's is.
func newTombstone(key []byte) pair {
	p := newPair(key, nil, 1)
	clear(p.memory()[len(key):])
	return p
}

func (p pair) isTombstone() bool { return p.hasDeadline() && p.deadline() == 0 }

// probe returns a pair to look a key up with, which is not for keeping: it points to the caller's memory. Of a key that
// is longer than any pair's the rest is cut off, which changes nothing in how it compares with theirs.
func probe(key []byte) pair {
	return pair{first: unsafe.SliceData(key), keySize: uint32(min(len(key), pairSizeMax))}
}

func (p pair) memory() []byte {
	size := int(p.keySize) + int(p.valueSize&^deadlineFlag)
	if p.hasDeadline() {
		size += deadlineSize
	}
	return unsafe.Slice(p.first, size)
}

// near reports whether two pairs lie within a page of memory, 4 KiB, of each other.
func (p pair) near(other pair) bool {
	const page = 4 << 10
	distance := uintptr(unsafe.Pointer(p.first)) - uintptr(unsafe.Pointer(other.first))
	return distance+page <= 2*page
}

// holds reports whether bytes, which aren't empty, are a part of the pair's memory.
func (p pair) holds(part []byte) bool {
	memory := p.memory()
	from := uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(p.first))
	return from < uintptr(len(memory)) && len(part) <= len(memory)-int(from)
}

// piece is bytes that nothing changes: a part of a pair's memory, or others.
type piece struct {
	first *byte
	size  uint32
	note  uint32 // For what holds the piece: here, it takes no room.
}

func newPiece(memory []byte) piece {
	return piece{first: unsafe.SliceData(memory), size: uint32(len(memory))}
}

func (p piece) bytes() []byte { return unsafe.Slice(p.first, p.size) }

// key returns the key, with its capacity clipped.
func (p pair) key() []byte { return unsafe.Slice(p.first, p.keySize) }

// value returns the value, with its capacity clipped; an empty one is not nil.
func (p pair) value() []byte {
	start, end := int(p.keySize), int(p.keySize)+int(p.valueSize&^deadlineFlag)
	return p.memory()[start:end:end]
}

func (p pair) hasDeadline() bool { return p.valueSize&deadlineFlag != 0 }

// deadline returns nanoseconds since 1970; 0 is none.
func (p pair) deadline() int64 {
	if !p.hasDeadline() {
		return 0
	}
	memory := p.memory()
	return int64(binary.NativeEndian.Uint64(memory[len(memory)-deadlineSize:]))
}

func (p pair) expired(now int64) bool { return p.hasDeadline() && p.deadline() <= now }

// size returns what the pair counts in Stats.DataBytes; 0 for none.
func (p pair) size() int64 { return int64(p.keySize) + int64(p.valueSize&^deadlineFlag) }
