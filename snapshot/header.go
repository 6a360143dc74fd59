package snapshot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

// FormatVersion is the newest format that this program reads, and the one that it writes. Older ones are read too.
const FormatVersion = 2

// The layout of a snapshot: a header, blocks, the trailer, a footer. docs/snapshot.md has the full description with the
// reasons, and a worked example that a test compares with this code. Each position here follows from the previous one.
const (
	headMagic      = "WALNUTSN"
	footerMagic    = "WALNUTSE"
	formatUnsummed = 1 // The format before: without stateSum in its trailer.

	headMagicAt       = 0
	headVersionAt     = headMagicAt + 8
	headKindAt        = headVersionAt + 4
	headCompressionAt = headKindAt + 1
	headReservedAt    = headCompressionAt + 1
	headIDAt          = headReservedAt + 2
	headFromAt        = headIDAt + 16
	headOffsetAt      = headFromAt + 8
	headTimeAt        = headOffsetAt + 8
	headSumAt         = headTimeAt + 8
	headSize          = headSumAt + 4

	blockSumAt        = 0
	blockMethodAt     = blockSumAt + 4
	blockStoredAt     = blockMethodAt + 4
	blockRawAt        = blockStoredAt + 4
	blockEntriesAt    = blockRawAt + 4
	blockPayloadSumAt = blockEntriesAt + 4
	blockHeadSize     = blockPayloadSumAt + 4

	totalEntriesAt   = 0
	totalKeyBytesAt  = totalEntriesAt + 8
	totalDataBytesAt = totalKeyBytesAt + 8
	totalSumAt       = totalDataBytesAt + 8
	totalStateSumAt  = totalSumAt + 4
	totalsSize       = totalStateSumAt + 8

	footerTrailerAt = 0
	footerSumAt     = footerTrailerAt + 8
	footerMagicAt   = footerSumAt + 4
	footerSize      = footerMagicAt + 8
)

// castagnoli is the polynomial for which processors have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kind says what the entries are. It means nothing to this package.
type Kind uint8

// Header says which state a snapshot holds.
type Header struct {
	// Kind says what the entries are.
	Kind Kind
	// ID is the store's identity. A reader compares it with the one that it expects.
	ID [16]byte
	// From and Offset say which commits the entries show: those with offsets From+1 to Offset. A From of 0 means the whole
	// state as of Offset. From is at most Offset.
	From, Offset uint64
	// Time is when the state was taken, to the nanosecond, between the years 1678 and 2262; zero means unknown. It is read
	// as UTC.
	Time time.Time
}

// Info is what the header and the trailer say.
type Info struct {
	Header
	// Compression is how blocks are stored, except those that it makes hardly smaller.
	Compression Compression
	// Blocks and Entries are numbers of blocks and of entries.
	Blocks  int
	Entries uint64
	// KeyBytes and DataBytes are the sizes of all keys and of all data before compression; FileBytes is the size of the
	// whole snapshot.
	KeyBytes, DataBytes, FileBytes int64
	// StateSum is what Options.StateSum was: 0 where the writer gave none, as in a snapshot of format 1.
	StateSum uint64
}

// head is the header as it is stored. Every other checksum of the snapshot that covers a place starts from the header's, so
// that a part of another snapshot is noticed.
type head struct {
	Header
	version     uint32
	compression Compression
	sum         uint32
}

// newHead returns the header as it will be read, or an error if it can't be stored.
func newHead(h Header, c Compression) (head, error) {
	if h.From > h.Offset {
		return head{}, fmt.Errorf("snapshot: header: from %d is greater than offset %d", h.From, h.Offset)
	}
	stored := storedTime(timeNumber(h.Time))
	if !stored.Equal(h.Time) {
		return head{}, fmt.Errorf("snapshot: header: time %v can't be stored", h.Time)
	}
	h.Time = stored
	made := head{Header: h, version: FormatVersion, compression: c}
	made.sum = binary.LittleEndian.Uint32(made.appendTo(nil)[headSumAt:])
	return made, nil
}

// timeNumber returns the nanoseconds since 1970, or 0 for the zero time.
func timeNumber(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// storedTime is the inverse of timeNumber.
func storedTime(number int64) time.Time {
	if number == 0 {
		return time.Time{}
	}
	return time.Unix(0, number).UTC()
}

// appendTo appends the encoded header to dst.
func (h head) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, headMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, h.version)
	dst = append(dst, byte(h.Kind), byte(h.compression), 0, 0)
	dst = append(dst, h.ID[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, h.From)
	dst = binary.LittleEndian.AppendUint64(dst, h.Offset)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(timeNumber(h.Time)))
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// decodeHead is the inverse of head.appendTo. A file that is too short for a header may be given as it is.
func decodeHead(b []byte) (head, error) {
	if len(b) < headSize && len(b) > 0 && strings.HasPrefix(headMagic, string(b[:min(len(b), headVersionAt)])) {
		return head{}, fmt.Errorf("header has %d bytes, want %d: %w", len(b), headSize, errCut)
	}
	if len(b) < headSize || string(b[:headVersionAt]) != headMagic {
		return head{}, fmt.Errorf("%w: it doesn't start with %q", ErrNotSnapshot, headMagic)
	}
	sum, want := crc32.Checksum(b[:headSumAt], castagnoli), binary.LittleEndian.Uint32(b[headSumAt:])
	if sum != want {
		return head{}, fmt.Errorf("header's checksum is %08x, want %08x", sum, want)
	}
	version := binary.LittleEndian.Uint32(b[headVersionAt:])
	if version < formatUnsummed || version > FormatVersion {
		return head{}, versionError(version)
	}
	h := head{version: version, compression: Compression(b[headCompressionAt]), sum: sum}
	h.Kind = Kind(b[headKindAt])
	copy(h.ID[:], b[headIDAt:])
	h.From = binary.LittleEndian.Uint64(b[headFromAt:])
	h.Offset = binary.LittleEndian.Uint64(b[headOffsetAt:])
	h.Time = storedTime(int64(binary.LittleEndian.Uint64(b[headTimeAt:])))
	if h.From > h.Offset || h.compression < NoCompression || h.compression > Zstd {
		return head{}, fmt.Errorf("header with from %d, offset %d, %v makes no sense", h.From, h.Offset, h.compression)
	}
	return h, nil
}

func versionError(version uint32) error {
	if version > FormatVersion {
		return fmt.Errorf("snapshot has format %d, this program knows up to %d: %w", version, FormatVersion, ErrVersion)
	}
	return fmt.Errorf("snapshot has format %d, want %d to %d", version, formatUnsummed, FormatVersion)
}

// totalsSize returns how many bytes of a trailer precede its rows.
func (h head) totalsSize() int {
	if h.version == formatUnsummed {
		return totalStateSumAt
	}
	return totalsSize
}

// sumPlace returns the checksum of a position and the fields there, starting from the header's checksum.
func (h head) sumPlace(position int64, fields []byte) uint32 {
	var place [8]byte
	binary.LittleEndian.PutUint64(place[:], uint64(position))
	return crc32.Update(crc32.Update(h.sum, castagnoli, place[:]), castagnoli, fields)
}
