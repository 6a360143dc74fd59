package server

import (
	"encoding/binary"
	"hash/crc64"
	"math"

	"github.com/walnutkv/walnut/kv"
)

// A dump of a value has Redis' RDB encoding: a type, the string, and a footer of the version in two bytes and a checksum
// of all before it in eight, little-endian both.
const (
	rdbVersion    = 10
	rdbString     = 0 // The type.
	rdbFooterSize = 10
)

// The first byte of a string says how its length is encoded, or that no length but another encoding follows. A length of
// up to 6 or 14 bits begins in it.
const (
	rdbLength6  = 0x00
	rdbLength14 = 0x40
	rdbLength32 = 0x80 // Four bytes follow, big-endian.
	rdbLength64 = 0x81 // Eight bytes follow, big-endian.
	rdbKind     = 0xc0 // The bits that say which of them it is; both set for another encoding.

	rdbInt8       = 0xc0 // Integers are little-endian.
	rdbInt16      = 0xc1
	rdbInt32      = 0xc2
	rdbCompressed = 0xc3
)

// rdbPolynomials has Jones' CRC-64, in the order of bits that hash/crc64 expects.
var rdbPolynomials = crc64.MakeTable(0x95ac9329ac4bc9b5)

// rdbChecksum returns the checksum of a dump. Redis begins with zero, and hash/crc64 inverts before and after.
func rdbChecksum(text []byte) uint64 { return ^crc64.Update(math.MaxUint64, rdbPolynomials, text) }

// dumpOf returns a value as DUMP does. Redis would also compress it where it is longer than 20 bytes: both ways restore.
func dumpOf(value []byte) []byte {
	dump := make([]byte, 0, len(value)+16)
	dump = append(dump, rdbString)
	if n, ok := parseInt(value); ok && n == int64(int32(n)) {
		dump = appendRDBInt(dump, int32(n))
	} else {
		dump = append(appendRDBLength(dump, len(value)), value...)
	}
	dump = binary.LittleEndian.AppendUint16(dump, rdbVersion)
	return binary.LittleEndian.AppendUint64(dump, rdbChecksum(dump))
}

func appendRDBInt(to []byte, n int32) []byte {
	switch {
	case n == int32(int8(n)):
		return append(to, rdbInt8, byte(n))
	case n == int32(int16(n)):
		return binary.LittleEndian.AppendUint16(append(to, rdbInt16), uint16(n))
	}
	return binary.LittleEndian.AppendUint32(append(to, rdbInt32), uint32(n))
}

func appendRDBLength(to []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(to, rdbLength6|byte(n))
	case n < 1<<14:
		return append(to, rdbLength14|byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(to, rdbLength32), uint32(n))
}

// isSound reports whether a dump is of a version that is known, and has the checksum in its footer.
func isSound(dump []byte) bool {
	if len(dump) < rdbFooterSize {
		return false
	}
	footer := dump[len(dump)-rdbFooterSize:]
	return binary.LittleEndian.Uint16(footer) <= rdbVersion &&
		binary.LittleEndian.Uint64(footer[2:]) == rdbChecksum(dump[:len(dump)-8])
}

// valueOf returns the string that a sound dump holds, which may be a part of the dump, or the error where there is none.
// As in Redis, bytes after the string don't matter, and the footer is no end: a string may reach into it.
func valueOf(dump []byte) (value []byte, problem string) {
	if len(dump) == 0 || dump[0] != rdbString {
		return nil, errBadDump
	}
	r := rdbReader{dump[1:]}
	kind, length, ok := r.length()
	switch {
	case !ok:
	case kind == rdbCompressed:
		return r.compressed()
	case kind >= rdbInt8:
		value, ok = r.integer(kind)
	default:
		value, ok = r.take(length)
	}
	if !ok {
		return nil, errBadDump
	}
	return value, ""
}

const errBadDump = "ERR Bad data format"

// rdbReader reads what is left of a dump. Nothing is allocated for a length that is announced.
type rdbReader struct{ left []byte }

// take returns the next bytes, and false where there are fewer.
func (r *rdbReader) take(n uint64) (bytes []byte, ok bool) {
	if n > uint64(len(r.left)) {
		return nil, false
	}
	bytes, r.left = r.left[:n], r.left[n:]
	return bytes, true
}

// length returns the next length. Where it is an encoding instead, kind is its first byte, and the length is that byte's
// last six bits.
func (r *rdbReader) length() (kind byte, length uint64, ok bool) {
	first, ok := r.take(1)
	if !ok {
		return 0, 0, false
	}
	kind = first[0]
	switch {
	case kind == rdbLength32:
		rest, ok := r.take(4)
		if !ok {
			return kind, 0, false
		}
		return kind, uint64(binary.BigEndian.Uint32(rest)), true
	case kind == rdbLength64:
		rest, ok := r.take(8)
		if !ok {
			return kind, 0, false
		}
		return kind, binary.BigEndian.Uint64(rest), true
	case kind&rdbKind == rdbLength14:
		rest, ok := r.take(1)
		if !ok {
			return kind, 0, false
		}
		return kind, uint64(kind&^rdbKind)<<8 | uint64(rest[0]), true
	}
	return kind, uint64(kind &^ rdbKind), kind&rdbKind != rdbLength32
}

// integer returns the text of an integer in one of the encodings.
func (r *rdbReader) integer(kind byte) (text []byte, ok bool) {
	if kind > rdbInt32 {
		return nil, false
	}
	size := uint64(1) << (kind &^ rdbKind)
	bytes, ok := r.take(size)
	if !ok {
		return nil, false
	}
	var n int64
	switch kind {
	case rdbInt8:
		n = int64(int8(bytes[0]))
	case rdbInt16:
		n = int64(int16(binary.LittleEndian.Uint16(bytes)))
	case rdbInt32:
		n = int64(int32(binary.LittleEndian.Uint32(bytes)))
	}
	return appendInt(nil, n), true
}

// compressed returns a string that Redis has compressed, or the error where it isn't right. The lengths of both forms
// come first.
func (r *rdbReader) compressed() (value []byte, problem string) {
	_, short, okShort := r.length()
	_, long, okLong := r.length()
	packed, ok := r.take(short)
	switch {
	case !okShort || !okLong || !ok || long > lzfGrowth*uint64(len(packed)) && long > 0:
		return nil, errBadDump
	case long > kv.MaxValueSize:
		return nil, errValueTooLarge
	}
	if value, ok = expandLZF(packed, int(long)); !ok {
		return nil, errBadDump
	}
	return value, ""
}
