package server

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// bitCommands are about the bits of a value. The first is the highest of the first byte; those past the end are 0.
var bitCommands = []command{
	{name: "getbit", arity: 3, class: reading, run: getBit, keys: oneKey},
	{name: "setbit", arity: 4, class: writing, run: setBit, keys: oneKey, grows: true},
	{name: "bitcount", arity: -2, class: reading, run: countBits, keys: oneKey},
	{name: "bitpos", arity: -3, class: reading, run: findBit, keys: oneKey},
	{name: "bitop", arity: -4, class: writing, run: combineBits, keys: keyPlaces{2, -1, 1}, grows: true},
	{name: "bitfield", arity: -2, class: writing, run: changeFields, keys: oneKey, grows: true},
	{name: "bitfield_ro", arity: -2, class: reading, run: readFields, keys: oneKey},
}

const (
	errBitOffset = "ERR bit offset is not an integer or out of range"
	errBit       = "ERR bit is not an integer or out of range"
)

// bitReadMax is the offset from which on Redis refuses to read a bit. Bits can be written up to the largest value.
const bitReadMax = 512 << 20 * 8

// bitAt returns a bit of a value.
func bitAt(value []byte, at int64) byte {
	if at/8 >= int64(len(value)) {
		return 0
	}
	return value[at/8] >> (7 - at%8) & 1
}

// putBit changes a bit that a value has.
func putBit(value []byte, at int64, bit byte) {
	mask := byte(1) << (7 - at%8)
	value[at/8] &^= mask
	if bit != 0 {
		value[at/8] |= mask
	}
}

// resized returns a copy of a value with at least size bytes, the new ones zero.
func resized(value []byte, size int64) []byte {
	larger := make([]byte, max(int64(len(value)), size))
	copy(larger, value)
	return larger
}

func getBit(c *call) {
	at, ok := parseInt(c.args[2])
	if !ok || at < 0 || at >= bitReadMax {
		c.fail(errBitOffset)
		return
	}
	value, _ := c.get(c.args[1])
	c.integer(int64(bitAt(value, at)))
}

func setBit(c *call) {
	key := c.args[1]
	at, ok := parseInt(c.args[2])
	if !ok || at < 0 || at >= kv.MaxValueSize*8 {
		c.fail(errBitOffset)
		return
	}
	bit, ok := parseInt(c.args[3])
	if !ok || bit != 0 && bit != 1 {
		c.fail(errBit)
		return
	}
	before, _ := c.get(key)
	was := bitAt(before, at)
	if was != byte(bit) || at/8 >= int64(len(before)) {
		value := resized(before, at/8+1)
		putBit(value, at, byte(bit))
		if !c.put(key, value, c.deadline(key)) {
			return
		}
	}
	c.integer(int64(was))
}

// bitSpan is a range of bits of a value, both ends included. It is empty where first is greater than last.
type bitSpan struct{ first, last int64 }

// within returns the span from start to end of a value with size bytes, which count bits or bytes; negative ones from the
// value's end.
func within(start, end, size int64, inBits bool) bitSpan {
	if inBits {
		size *= 8
	}
	start, end = fromEnd(start, size), min(fromEnd(end, size), size-1)
	switch {
	case start > end:
		return bitSpan{0, -1}
	case inBits:
		return bitSpan{start, end}
	}
	return bitSpan{start * 8, end*8 + 7}
}

// takeUnit reads what places count, bytes unless an argument says otherwise.
func takeUnit(args [][]byte) (inBits, ok bool) {
	switch {
	case len(args) == 0 || is(args[0], "BYTE"):
		return false, true
	}
	return true, is(args[0], "BIT")
}

func countBits(c *call) {
	value, found := c.get(c.args[1])
	if !found {
		c.integer(0)
		return
	}
	span := within(0, -1, int64(len(value)), false)
	switch places := c.args[2:]; len(places) {
	case 0:
	case 2, 3:
		start, okStart := parseInt(places[0])
		end, okEnd := parseInt(places[1])
		if !okStart || !okEnd {
			c.fail(errNotInteger)
			return
		}
		if start < 0 && end < 0 && start > end {
			c.integer(0)
			return
		}
		inBits, ok := takeUnit(places[2:])
		if !ok {
			c.fail(errSyntax)
			return
		}
		span = within(start, end, int64(len(value)), inBits)
	default:
		c.fail(errSyntax)
		return
	}
	c.integer(onesIn(value, span))
}

// onesIn counts the bits of a span that are 1.
func onesIn(value []byte, span bitSpan) (count int64) {
	if span.first > span.last {
		return 0
	}
	whole := value[span.first/8 : span.last/8+1]
	count -= int64(bits.OnesCount8(whole[0] &^ (0xff >> (span.first % 8))))
	count -= int64(bits.OnesCount8(whole[len(whole)-1] & (1<<(7-span.last%8) - 1)))
	for ; len(whole) >= 8; whole = whole[8:] {
		count += int64(bits.OnesCount64(binary.NativeEndian.Uint64(whole)))
	}
	for _, b := range whole {
		count += int64(bits.OnesCount8(b))
	}
	return count
}

// findBit is BITPOS.
func findBit(c *call) {
	bit, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.fail(errNotInteger)
		return
	case bit != 0 && bit != 1:
		c.fail("ERR The bit argument must be 1 or 0.")
		return
	}
	value, found := c.get(c.args[1])
	if !found {
		c.integer(-bit) // A bit of 0 is at once past the end.
		return
	}
	span, problem := takePlaces(c.args[3:], int64(len(value)))
	if problem != "" {
		c.fail(problem)
		return
	}
	at := firstIn(value, span, byte(bit))
	if at < 0 && bit == 0 && len(c.args) < 5 && span.first <= span.last {
		at = int64(len(value)) * 8 // What follows the value is 0, unless the end of the search was given.
	}
	c.integer(at)
}

// takePlaces reads the places of BITPOS, in the order in which Redis does.
func takePlaces(args [][]byte, size int64) (span bitSpan, problem string) {
	start, end, ok := int64(0), int64(-1), true
	if len(args) > 3 {
		return span, errSyntax
	}
	if len(args) > 0 {
		if start, ok = parseInt(args[0]); !ok {
			return span, errNotInteger
		}
	}
	inBits, known := takeUnit(args[min(2, len(args)):])
	if !known {
		return span, errSyntax
	}
	if len(args) > 1 {
		if end, ok = parseInt(args[1]); !ok {
			return span, errNotInteger
		}
	}
	return within(start, end, size, inBits), ""
}

// firstIn returns the place of the first bit of a span that has a value, -1 where there is none.
func firstIn(value []byte, span bitSpan, bit byte) int64 {
	other := 0xff * (1 - bit) // A byte without that bit.
	for at := span.first; at <= span.last; at++ {
		if at%8 == 0 {
			at += 8 * countLeading(value[at/8:span.last/8+1], other)
		}
		if at <= span.last && bitAt(value, at) == bit {
			return at
		}
	}
	return -1
}

// countLeading returns how many bytes at the start of a value are the same given one.
func countLeading(value []byte, b byte) int64 {
	left := value
	for word := uint64(b) * (math.MaxUint64 / 0xff); len(left) >= 8 && binary.NativeEndian.Uint64(left) == word; {
		left = left[8:]
	}
	for len(left) > 0 && left[0] == b {
		left = left[1:]
	}
	return int64(len(value) - len(left))
}

// combineBits is BITOP.
func combineBits(c *call) {
	from := c.args[3:]
	operation, ok := takeBitOperation(c.args[1])
	switch {
	case !ok:
		c.fail(errSyntax)
		return
	case operation == bitNot && len(from) != 1:
		c.fail("ERR BITOP NOT must be called with a single source key.")
		return
	}
	size, values := 0, make([][]byte, len(from))
	for i, key := range from {
		values[i], _ = c.get(key)
		size = max(size, len(values[i]))
	}
	result := resized(values[0], int64(size))
	if operation == bitNot {
		operation.combine(result, values[0])
	}
	for _, value := range values[1:] {
		if !c.goesOn() {
			return
		}
		operation.combine(result, value)
	}
	to, done := c.args[2], true
	if size > 0 {
		done = c.put(to, result, time.Time{})
	} else if c.has(to) {
		done = c.remove(to)
	}
	if done {
		c.integer(int64(size))
	}
}

// bitOperation is an operation of BITOP.
type bitOperation uint8

const (
	bitAnd bitOperation = iota
	bitOr
	bitXor
	bitNot
)

// takeBitOperation returns the operation of a name, and whether there is one.
func takeBitOperation(name []byte) (o bitOperation, ok bool) {
	for i, known := range [...]string{bitAnd: "AND", bitOr: "OR", bitXor: "XOR", bitNot: "NOT"} {
		if is(name, known) {
			return bitOperation(i), true
		}
	}
	return 0, false
}

// combine changes a result by the next value, which may be shorter: then it goes on with zeros. That of bitNot is called once, with the only
// value.
func (o bitOperation) combine(result, value []byte) {
	words := len(value) / 8 * 8
	for i := 0; i < words; i += 8 {
		to := result[i : i+8 : i+8]
		binary.NativeEndian.PutUint64(to, o.of(binary.NativeEndian.Uint64(to), binary.NativeEndian.Uint64(value[i:i+8:i+8])))
	}
	for i := words; i < len(value); i++ {
		result[i] = byte(o.of(uint64(result[i]), uint64(value[i])))
	}
	if o == bitAnd {
		clear(result[len(value):])
	}
}

// of is the operation on the bits of two words.
func (o bitOperation) of(result, value uint64) uint64 {
	switch o {
	case bitAnd:
		return result & value
	case bitOr:
		return result | value
	case bitXor:
		return result ^ value
	}
	return ^value
}
