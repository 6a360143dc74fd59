package snapshot

import (
	"encoding/binary"
	"fmt"
)

// Bounds of what a block's head may say. A length is believed only within them, so that a few bytes can't ask for much
// memory.
const (
	// entryHeadMax is how long the two lengths in front of an entry can be: a key's takes up to three bytes, the data's
	// up to four. entryHeadMin is how long they are at least.
	entryHeadMax = 7
	entryHeadMin = 2
	// rawSizeMax is the size of a block with one entry of the largest size.
	rawSizeMax = entryHeadMax + MaxKeySize + MaxDataSize
	// expansionMax is how many times its stored size a block larger than MaxBlockSize may have.
	expansionMax = 256
)

// blockHead is what stands in front of a block's stored bytes, and of the trailer's. Its own checksum is not a field: it
// is made and checked with the head's place.
type blockHead struct {
	method     Compression // How this block is stored: as the header says or NoCompression; or trailerMethod.
	storedSize uint32      // In bytes.
	rawSize    uint32      // In bytes, decompressed.
	entryCount uint32      // In the trailer's head, how many blocks there are.
	payloadSum uint32      // Checksum of the stored bytes.
}

// size returns the size in bytes of head and stored bytes.
func (b blockHead) size() int64 { return blockHeadSize + int64(b.storedSize) }

// appendFields appends the encoded fields, which are also a row's in the trailer.
func (b blockHead) appendFields(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(b.method))
	dst = binary.LittleEndian.AppendUint32(dst, b.storedSize)
	dst = binary.LittleEndian.AppendUint32(dst, b.rawSize)
	dst = binary.LittleEndian.AppendUint32(dst, b.entryCount)
	return binary.LittleEndian.AppendUint32(dst, b.payloadSum)
}

// decodeBlockFields is the inverse of appendFields, for at least as many bytes as that appends.
func decodeBlockFields(fields []byte) (blockHead, error) {
	at := func(i int) uint32 { return binary.LittleEndian.Uint32(fields[i-blockMethodAt:]) }
	method := at(blockMethodAt)
	if method > uint32(trailerMethod) {
		return blockHead{}, fmt.Errorf("block is stored by unknown method %d", method)
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

// checkSum compares the checksum of the stored bytes with the one that the head says.
func (b blockHead) checkSum(sum uint32) error {
	if sum != b.payloadSum {
		return fmt.Errorf("block's checksum is %08x, want %08x", sum, b.payloadSum)
	}
	return nil
}

// check compares the fields with the bounds and with each other, before memory is set aside by them.
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
