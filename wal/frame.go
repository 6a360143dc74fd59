package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// The layout of a store file: a header, then frames. docs/format.md has the full description with the reasons, and a
// worked example that a test compares with this code; offsets here chain, each from the one before.
const (
	storeMagic   = "WALNUTWL"
	storeVersion = 2

	headMagicAt      = 0
	headVersionAt    = headMagicAt + 8
	headPrevEndAt    = headVersionAt + 4
	headIDAt         = headPrevEndAt + 4
	headSaltAt       = headIDAt + 16
	headBaseAt       = headSaltAt + 8
	headFirstAt      = headBaseAt + 8
	headGenerationAt = headFirstAt + 8
	headPrevSaltAt   = headGenerationAt + 8
	headPrevChainAt  = headPrevSaltAt + 8
	headSumAt        = headPrevChainAt + 4
	headSize         = headSumAt + 4

	frameSumAt     = 0
	frameLengthAt  = frameSumAt + 4
	frameIndexAt   = frameLengthAt + 4
	frameBackAt    = frameIndexAt + 4
	framePayloadAt = frameBackAt + 4
	frameHeadSize  = framePayloadAt + 4

	frameAlign     = 8
	frameSizeMin   = (frameHeadSize + frameAlign - 1) / frameAlign * frameAlign
	frameKindShift = 28
	frameLengthMax = 1<<frameKindShift - 1

	boundsFirstAt = 0
	boundsChainAt = boundsFirstAt + 8
	boundsSize    = boundsChainAt + 4

	// boundsFrameSize is the size of a mark's or a seal's frame.
	boundsFrameSize = (frameHeadSize + boundsSize + frameAlign - 1) / frameAlign * frameAlign
)

// frameKind says what a frame is. Zero is no kind: it is what bytes say that were never written.
type frameKind uint8

const (
	kindRecord frameKind = 1 // A record: has an offset.
	kindMark   frameKind = 2 // States the log's bounds; has no offset of its own.
	kindClosed frameKind = 3 // The seal of a clean close.
	kindRolled frameKind = 4 // The seal of a roll: another segment follows.
)

func (k frameKind) String() string {
	return nameOf(uint8(k), "kind %d", "kind 0", "record", "mark", "seal of a close", "seal of a roll")
}

func (k frameKind) isSeal() bool { return k == kindClosed || k == kindRolled }

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var zeros [scanChunk]byte

// storeHead is what a store file starts with. Its prev fields name the place that the segment follows: a position in another
// store, and the chain of the frames before it. They are 0 where the log began, or was reset.
type storeHead struct {
	id         [16]byte // Of the log: every segment of it has the same.
	salt       uint64   // Of this file: no other file ever has it. Not 0.
	base       uint64   // The offset of its first record.
	first      uint64   // The log's first offset held when the file was made.
	generation uint64   // How often the log's end had been cut, or the log reset, when the file was made.
	prevSalt   uint64
	prevEnd    int64
	prevChain  uint32
}

// appendTo appends the encoded header to dst.
func (h storeHead) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, storeMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, storeVersion)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.prevEnd))
	dst = append(dst, h.id[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, h.salt)
	dst = binary.LittleEndian.AppendUint64(dst, h.base)
	dst = binary.LittleEndian.AppendUint64(dst, h.first)
	dst = binary.LittleEndian.AppendUint64(dst, h.generation)
	dst = binary.LittleEndian.AppendUint64(dst, h.prevSalt)
	dst = binary.LittleEndian.AppendUint32(dst, h.prevChain)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// decodeStoreHead is the inverse of storeHead.appendTo. A header of another version isn't decoded: its fields lie elsewhere.
func decodeStoreHead(b []byte) (storeHead, error) {
	var h storeHead
	if len(b) >= headVersionAt+4 && string(b[:headVersionAt]) == storeMagic {
		if version := binary.LittleEndian.Uint32(b[headVersionAt:]); version != storeVersion && isVersion(b, version) {
			return h, versionError(version)
		}
	}
	switch {
	case len(b) < headSize:
		return h, fmt.Errorf("store header has %d bytes, want %d", len(b), headSize)
	case string(b[:headVersionAt]) != storeMagic:
		return h, fmt.Errorf("not a store file: it doesn't start with %q", storeMagic)
	}
	if sum, want := crc32.Checksum(b[:headSumAt], castagnoli), binary.LittleEndian.Uint32(b[headSumAt:]); sum != want {
		return h, fmt.Errorf("store header's checksum is %08x, want %08x", sum, want)
	}
	version := binary.LittleEndian.Uint32(b[headVersionAt:])
	h.prevEnd = int64(binary.LittleEndian.Uint32(b[headPrevEndAt:]))
	copy(h.id[:], b[headIDAt:])
	h.salt = binary.LittleEndian.Uint64(b[headSaltAt:])
	h.base = binary.LittleEndian.Uint64(b[headBaseAt:])
	h.first = binary.LittleEndian.Uint64(b[headFirstAt:])
	h.generation = binary.LittleEndian.Uint64(b[headGenerationAt:])
	h.prevSalt = binary.LittleEndian.Uint64(b[headPrevSaltAt:])
	h.prevChain = binary.LittleEndian.Uint32(b[headPrevChainAt:])
	if version != storeVersion || h.salt == 0 || h.base == 0 || h.first == 0 || h.first > h.base || h.base > math.MaxInt64 {
		return h, fmt.Errorf("store header with format %d, salt %x, base %d, first %d makes no sense", version, h.salt, h.base, h.first)
	}
	return h, nil
}

// Where the checksum of a header of format 1 stood. A later format keeps it where this one has it.
const headSumAtV1 = 68

// versionError says which of the two programs is the older one.
func versionError(version uint32) error {
	why := "a newer program wrote it, and is needed to open it"
	if version < storeVersion {
		why = "a program from before the first release wrote it"
	}
	return fmt.Errorf("%w: the store has format %d, this program reads format %d: %s", ErrVersion, version, storeVersion, why)
}

// isVersion reports whether a header really is of another format, rather than a damaged one of this format.
func isVersion(b []byte, version uint32) bool {
	at := headSumAt
	if version == 1 {
		at = headSumAtV1
	}
	return version != 0 && len(b) >= at+4 && crc32.Checksum(b[:at], castagnoli) == binary.LittleEndian.Uint32(b[at:])
}

// frameHead is what a frame starts with. Its checksum is not a field: it is made and checked with the frame's place.
type frameHead struct {
	kind   frameKind
	length int    // Of the payload in bytes, without padding.
	index  uint32 // Offset of the record, or of the next one after a mark or seal, less the store's base.
	back   uint32 // Distance back to the watermark in units of frameAlign.
	sum    uint32 // Checksum of payload and padding.
}

// size returns the frame's size in bytes, padding included.
func (h frameHead) size() int64 { return frameSize(h.length) }

// offset returns the offset of a record, or of the next record after a mark or seal.
func (h frameHead) offset(base uint64) uint64 { return base + uint64(h.index) }

// watermark returns the position up to which the store was known durable when the frame at this position was built.
func (h frameHead) watermark(position int64) int64 { return position - int64(h.back)*frameAlign }

// frameSize returns the size in bytes of a frame whose payload has this length.
func frameSize(length int) int64 {
	return (frameHeadSize + int64(length) + frameAlign - 1) &^ (frameAlign - 1)
}

// payloadSum returns the checksum of a payload and the padding after it.
func payloadSum(payload []byte) uint32 {
	padding := frameSize(len(payload)) - frameHeadSize - int64(len(payload))
	return crc32.Update(crc32.Checksum(payload, castagnoli), castagnoli, zeros[:padding])
}

// headSum returns the checksum of a frame's header, whose bytes after the checksum are fields. It also covers the salt
// and the position, so that a frame of another file, or at another place, doesn't check out. saltSum is the salt's checksum.
func headSum(saltSum uint32, position int64, fields []byte) uint32 {
	sum := sumUint64(saltSum, uint64(position))
	return crc32.Update(sum, castagnoli, fields[:frameHeadSize-frameLengthAt])
}

// sumUint64 extends a checksum by a number's eight bytes. hash/crc32 takes a slice, which would be on the heap for each frame.
func sumUint64(sum uint32, n uint64) uint32 {
	sum = ^sum
	for range 8 {
		sum = castagnoli[byte(sum)^byte(n)] ^ sum>>8
		n >>= 8
	}
	return ^sum
}

// appendTo appends the encoded header of a frame at this place to dst. The place is a position in a store and the checksum of its salt, which
// callers keep, since making it takes as long as all else.
func (h frameHead) appendTo(dst []byte, saltSum uint32, position int64) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.kind)<<frameKindShift|uint32(h.length))
	dst = binary.LittleEndian.AppendUint32(dst, h.index)
	dst = binary.LittleEndian.AppendUint32(dst, h.back)
	dst = binary.LittleEndian.AppendUint32(dst, h.sum)
	binary.LittleEndian.PutUint32(dst[start:], headSum(saltSum, position, dst[start+frameLengthAt:]))
	return dst
}

// errNotFrame reports bytes that are no frame's header at the place where they stand.
var errNotFrame = errors.New("no frame checks out here")

// decodeFrameHead is the inverse of frameHead.appendTo. It says yes only to a header that was built for this place, so
// what it returns can be believed, the length included.
func decodeFrameHead(b []byte, saltSum uint32, position int64) (frameHead, error) {
	if len(b) < frameHeadSize {
		return frameHead{}, errNotFrame
	}
	lengthAndKind := binary.LittleEndian.Uint32(b[frameLengthAt:])
	h := frameHead{
		kind:   frameKind(lengthAndKind >> frameKindShift),
		length: int(lengthAndKind & frameLengthMax),
		index:  binary.LittleEndian.Uint32(b[frameIndexAt:]),
		back:   binary.LittleEndian.Uint32(b[frameBackAt:]),
		sum:    binary.LittleEndian.Uint32(b[framePayloadAt:]),
	}
	switch {
	case h.kind < kindRecord || h.kind > kindRolled,
		h.watermark(position) < 0,
		h.kind != kindRecord && h.length != boundsSize,
		binary.LittleEndian.Uint32(b[frameSumAt:]) != headSum(saltSum, position, b[frameLengthAt:]):
		return frameHead{}, errNotFrame
	}
	return h, nil
}

// headChain returns the chain of a store that has no frame yet.
func headChain(encoded []byte) uint32 { return binary.LittleEndian.Uint32(encoded[headSumAt:]) }

// extendChain returns the chain after the frame whose encoded header is given. The chain of a store starts as its
// header's checksum and takes in every frame but seals, so that one number vouches for all of a store.
func extendChain(chain uint32, head []byte) uint32 {
	return crc32.Update(chain, castagnoli, head[:frameHeadSize])
}

// bounds is the payload of marks and seals: what the log held when it was written.
type bounds struct {
	first uint64 // First offset held.
	chain uint32 // Of the store up to this frame.
}

func (b bounds) encode() [boundsSize]byte {
	var dst [boundsSize]byte
	binary.LittleEndian.PutUint64(dst[boundsFirstAt:], b.first)
	binary.LittleEndian.PutUint32(dst[boundsChainAt:], b.chain)
	return dst
}

func decodeBounds(payload []byte) (bounds, error) {
	if len(payload) != boundsSize {
		return bounds{}, fmt.Errorf("bounds have %d bytes, want %d", len(payload), boundsSize)
	}
	return bounds{
		first: binary.LittleEndian.Uint64(payload[boundsFirstAt:]),
		chain: binary.LittleEndian.Uint32(payload[boundsChainAt:]),
	}, nil
}
