package snapshot

import (
	"encoding/binary"
	"fmt"
)

// Bounds of what a block's head may say. A length beyond them is refused, so that a few bytes can't ask for much memory.
const (
	// entryHeadMax is the greatest size of the two lengths that precede an entry: up to three bytes for the key's and
	// up to four for the data's. entryHeadMin is their smallest size.
	entryHeadMax = 7
	entryHeadMin = 2
	// rawSizeMax is the size of a block that holds one entry of the largest size.
	rawSizeMax = entryHeadMax + MaxKeySize + MaxDataSize
	// expansionMax bounds the ratio of raw size to stored size in a block larger than MaxBlockSize.
	expansionMax = 256
)

// blockHead precedes the stored bytes of a block, and those of the trailer. Its own checksum is not a field, since it is
// computed and checked together with the head's place.
type blockHead struct {
	method     Compression // The header's compression or NoCompression; trailerMethod in the trailer's head.
	storedSize uint32      // In bytes.
	rawSize    uint32      // In bytes, decompressed.
	entryCount uint32      // In the trailer's head, the number of blocks.
	payloadSum uint32      // Checksum of the stored bytes.
}

// size returns the size of the head and the stored bytes together.
func (b blockHead) size() int64 { return blockHeadSize + int64(b.storedSize) }

// appendFields appends the encoded fields. A row of the trailer has the same fields.
func (b blockHead) appendFields(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(b.method))
	dst = binary.LittleEndian.AppendUint32(dst, b.storedSize)
	dst = binary.LittleEndian.AppendUint32(dst, b.rawSize)
	dst = binary.LittleEndian.AppendUint32(dst, b.entryCount)
	return binary.LittleEndian.AppendUint32(dst, b.payloadSum)
}

// decodeBlockFields is the inverse of appendFields. It needs at least the bytes that appendFields appends.
func decodeBlockFields(fields []byte) (blockHead, error) {
	at := func(i int) uint32 { return binary.LittleEndian.Uint32(fields[i-blockMethodAt:]) }
	method := at(blockMethodAt)
	if method > uint32(trailerMethod) {
		return blockHead{}, fmt.Errorf("block is stored by the unknown method %d", method)
	}
	return blockHead{
		method: Compression(method), storedSize: at(blockStoredAt), rawSize: at(blockRawAt), entryCount: at(blockEntriesAt),
		payloadSum: at(blockPayloadSumAt),
	}, nil
}

// put encodes the head of a block at this position into dst.
func (b blockHead) put(dst []byte, h head, position int64) {
	fields := b.appendFields(dst[blockMethodAt:blockMethodAt])
	binary.LittleEndian.PutUint32(dst, h.sumPlace(position, fields))
}

// decodeBlockHead is the inverse of put.
func decodeBlockHead(src []byte, h head, position int64) (blockHead, error) {
	fields := src[blockMethodAt:blockHeadSize]
	sum, want := h.sumPlace(position, fields), binary.LittleEndian.Uint32(src)
	if sum != want {
		return blockHead{}, fmt.Errorf("block head's checksum is %08x, want %08x", sum, want)
	}
	return decodeBlockFields(fields)
}

// checkSum compares a checksum of the stored bytes with the head's.
func (b blockHead) checkSum(sum uint32) error {
	if sum != b.payloadSum {
		return fmt.Errorf("block's checksum is %08x, want %08x", sum, b.payloadSum)
	}
	return nil
}

// check compares the fields with the bounds and with each other, before any memory is allocated by them.
func (b blockHead) check(compression Compression) error {
	alone := b.entryCount == 1 && b.rawSize <= rawSizeMax && b.rawSize/expansionMax <= b.storedSize
	switch {
	case b.method != NoCompression && b.method != compression:
		return fmt.Errorf("block is stored by method %v in a snapshot with %v", b.method, compression)
	case b.method == NoCompression && b.storedSize != b.rawSize, b.method != NoCompression && b.storedSize >= b.rawSize, b.storedSize == 0:
		return fmt.Errorf("block of %d bytes can't be stored in %d by method %v", b.rawSize, b.storedSize, b.method)
	case b.entryCount == 0 || int64(b.entryCount)*entryHeadMin > int64(b.rawSize):
		return fmt.Errorf("block of %d bytes can't have %d entries", b.rawSize, b.entryCount)
	case b.rawSize > MaxBlockSize && !alone:
		return fmt.Errorf("block of %d bytes with %d entries in %d stored bytes is over the limit", b.rawSize, b.entryCount, b.storedSize)
	}
	return nil
}
