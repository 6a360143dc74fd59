package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// trailerSizeMax bounds the trailer, and so the memory of writers and readers: a file may be much longer than what is in it.
// It has room for ten million blocks with keys of a usual size.
const trailerSizeMax = 1 << 30

// rowHeadSize is the size of a row without its key: the fields of its block's head, and the key's length.
const rowHeadSize = blockHeadSize - blockMethodAt + 4

// row is what the trailer says about a block.
type row struct {
	blockHead
	position int64 // The position of the block's head. It is not stored, since blocks follow each other without gaps.
	firstKey []byte
}

// trailer lists the blocks of a snapshot, with totals. The reader of a stream builds it again and compares.
type trailer struct {
	rows     []row
	entries  uint64
	keySize  int64  // The bytes of all keys.
	dataSize int64  // The bytes of all data.
	sum      uint32 // The checksum of all bytes before the trailer.
	stateSum uint64 // 0 in the format without.
	size     int64  // The bytes of the rows as they are stored.
}

// add adds a block's row. The bytes of the block's first key must not change after that.
func (t *trailer) add(b *block, position int64) error {
	t.size += rowHeadSize + int64(len(b.firstKey))
	if t.size > trailerSizeMax-totalsSize {
		return fmt.Errorf("%w: more than %d blocks", ErrTooLarge, len(t.rows))
	}
	t.rows = append(t.rows, row{blockHead: b.blockHead, position: position, firstKey: b.firstKey})
	t.entries += uint64(b.entryCount)
	t.keySize += b.keySize
	t.dataSize += b.dataSize
	return nil
}

// appendTo appends the encoded trailer, without its head, to dst.
func (t *trailer) appendTo(dst []byte, h head) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, t.entries)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(t.keySize))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(t.dataSize))
	dst = binary.LittleEndian.AppendUint32(dst, t.sum)
	if h.version != formatUnsummed {
		dst = binary.LittleEndian.AppendUint64(dst, t.stateSum)
	}
	for _, r := range t.rows {
		dst = r.appendFields(dst)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.firstKey)))
		dst = append(dst, r.firstKey...)
	}
	return dst
}

// ending returns the encoded end of a snapshot: the trailer at this position with its head, and the footer.
func (t *trailer) ending(h head, position int64) []byte {
	encoded := t.appendTo(make([]byte, blockHeadSize, blockHeadSize+totalsSize+t.size+footerSize), h)
	t.head(encoded[blockHeadSize:]).put(encoded, h, position)
	return appendFooter(encoded, h, position)
}

// head returns the head of the encoded trailer.
func (t *trailer) head(payload []byte) blockHead {
	size := uint32(len(payload))
	return blockHead{
		method: trailerMethod, storedSize: size, rawSize: size, entryCount: uint32(len(t.rows)),
		payloadSum: crc32.Checksum(payload, castagnoli),
	}
}

// decodeTrailer is the inverse of trailer.appendTo for a trailer at this position. It checks that the rows and totals make
// sense, and keeps parts of payload.
func decodeTrailer(payload []byte, h head, b blockHead, position int64) (*trailer, error) {
	totals := h.totalsSize()
	if b.method != trailerMethod || len(payload) < totals {
		return nil, fmt.Errorf("trailer with method %v and %d bytes makes no sense", b.method, len(payload))
	}
	if sum := crc32.Checksum(payload, castagnoli); sum != b.payloadSum {
		return nil, fmt.Errorf("trailer's checksum is %08x, want %08x", sum, b.payloadSum)
	}
	t := &trailer{
		entries:  binary.LittleEndian.Uint64(payload[totalEntriesAt:]),
		keySize:  int64(binary.LittleEndian.Uint64(payload[totalKeyBytesAt:])),
		dataSize: int64(binary.LittleEndian.Uint64(payload[totalDataBytesAt:])),
		sum:      binary.LittleEndian.Uint32(payload[totalSumAt:]),
		size:     int64(len(payload) - totals),
	}
	t.takeStateSum(payload, h)
	end, err := t.decodeRows(payload[totals:], h)
	if err != nil {
		return nil, err
	}
	if len(t.rows) != int(b.entryCount) || end != position {
		return nil, fmt.Errorf("trailer lists %d blocks up to position %d, there are %d up to %d", len(t.rows), end, b.entryCount, position)
	}
	return t, t.checkTotals()
}

// takeStateSum takes the state's checksum from an encoded trailer that is long enough for it.
func (t *trailer) takeStateSum(payload []byte, h head) {
	if h.version != formatUnsummed {
		t.stateSum = binary.LittleEndian.Uint64(payload[totalStateSumAt:])
	}
}

// decodeRows decodes the rows and returns the position where the last block ends.
func (t *trailer) decodeRows(payload []byte, h head) (end int64, err error) {
	end = headSize
	for len(payload) > 0 {
		r := row{position: end}
		if r, payload, err = decodeRow(r, payload); err == nil {
			err = r.check(h.compression)
		}
		if before := len(t.rows) - 1; err == nil && before >= 0 && bytes.Compare(t.rows[before].firstKey, r.firstKey) >= 0 {
			err = ErrOrder
		}
		if err != nil {
			return 0, fmt.Errorf("row %d of the trailer: %w", len(t.rows)+1, err)
		}
		end += r.size()
		t.rows = append(t.rows, r)
	}
	return end, nil
}

func decodeRow(r row, payload []byte) (row, []byte, error) {
	if len(payload) < rowHeadSize {
		return r, nil, fmt.Errorf("%d bytes left, want %d", len(payload), rowHeadSize)
	}
	var err error
	if r.blockHead, err = decodeBlockFields(payload); err != nil {
		return r, nil, err
	}
	size := binary.LittleEndian.Uint32(payload[rowHeadSize-4:])
	payload = payload[rowHeadSize:]
	if size > MaxKeySize || int64(size) > int64(len(payload)) || int64(size)+entryHeadMin > int64(r.rawSize) {
		return r, nil, fmt.Errorf("key of %d bytes, limit %d, with %d bytes left, in a block of %d", size, MaxKeySize, len(payload), r.rawSize)
	}
	r.firstKey = payload[:size:size]
	return r, payload[size:], nil
}

// checkTotals compares the totals with the rows.
func (t *trailer) checkTotals() error {
	var entries uint64
	var raw int64
	for _, r := range t.rows {
		entries += uint64(r.entryCount)
		raw += int64(r.rawSize)
	}
	least, most := raw-int64(entries)*entryHeadMax, raw-int64(entries)*entryHeadMin
	sum := t.keySize + t.dataSize
	if t.entries != entries || t.keySize < 0 || t.dataSize < 0 || sum < least || sum > most || sum < 0 {
		return fmt.Errorf("trailer's totals of %d entries, %d key bytes, %d data bytes don't agree with its blocks of %d entries in %d bytes",
			t.entries, t.keySize, t.dataSize, entries, raw)
	}
	return nil
}

// info returns what the header and the trailer say about a snapshot of this size.
func (t *trailer) info(h head, size int64) Info {
	return Info{
		Header: h.Header, Compression: h.compression, Blocks: len(t.rows), Entries: t.entries,
		KeyBytes: t.keySize, DataBytes: t.dataSize, FileBytes: size, StateSum: t.stateSum,
	}
}

// appendFooter appends an encoded footer, which says where the trailer is.
func appendFooter(dst []byte, h head, trailerPosition int64) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(trailerPosition))
	dst = binary.LittleEndian.AppendUint32(dst, h.sumPlace(trailerPosition, nil))
	return append(dst, footerMagic...)
}

// decodeFooter is the inverse of appendFooter.
func decodeFooter(b []byte, h head) (trailerPosition int64, err error) {
	if string(b[footerMagicAt:]) != footerMagic {
		return 0, fmt.Errorf("footer doesn't end with %q: %w", footerMagic, errCut)
	}
	trailerPosition = int64(binary.LittleEndian.Uint64(b))
	sum, want := h.sumPlace(trailerPosition, nil), binary.LittleEndian.Uint32(b[footerSumAt:])
	if sum != want {
		return 0, fmt.Errorf("footer's checksum is %08x, want %08x", sum, want)
	}
	return trailerPosition, nil
}
