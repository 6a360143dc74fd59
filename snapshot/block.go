package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
)

// Entry is a key with its data. A receiver must not change the bytes.
type Entry struct {
	Key, Data []byte
}

// entrySize returns how many bytes an entry takes in a block.
func entrySize(key, data []byte) int {
	return lengthSize(len(key)) + lengthSize(len(data)) + len(key) + len(data)
}

// lengthSize returns how many bytes a length takes: seven bits fit into each.
func lengthSize(length int) int { return (bits.Len(uint(length)|1) + 6) / 7 }

// appendEntry appends an encoded entry to dst.
func appendEntry(dst, key, data []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = binary.AppendUvarint(dst, uint64(len(data)))
	dst = append(dst, key...)
	return append(dst, data...)
}

var errEntryLength = errors.New("an entry's length reaches past the end of the block")

// cutEntry returns the first entry of raw, which it points into, and the bytes that follow it.
func cutEntry(raw []byte) (e Entry, rest []byte, err error) {
	keySize, rest, ok := cutLength(raw, MaxKeySize)
	if !ok {
		return Entry{}, nil, errEntryLength
	}
	dataSize, rest, ok := cutLength(rest, MaxDataSize)
	if !ok || keySize+dataSize > len(rest) {
		return Entry{}, nil, errEntryLength
	}
	end := keySize + dataSize
	return Entry{Key: rest[:keySize:keySize], Data: rest[keySize:end:end]}, rest[end:], nil
}

// cutLength returns the length that raw begins with, and the bytes that follow it.
func cutLength(raw []byte, limit uint64) (length int, rest []byte, ok bool) {
	if len(raw) > 0 && raw[0] < 0x80 { // Most are this short.
		return int(raw[0]), raw[1:], true
	}
	number, size := binary.Uvarint(raw)
	if size <= 0 || number > limit {
		return 0, nil, false
	}
	return int(number), raw[size:], true
}

// block is a block on its way into or out of a snapshot. Its buffers are reused for later blocks.
//
// Invariant: in a writer's block, raw and packed begin with room for the head, so that one write takes head and payload. In
// a reader's block, payload points into packed, and entries point into packed or raw.
type block struct {
	blockHead
	raw      []byte  // The entries, encoded.
	packed   []byte  // The same, compressed; in a reader, the bytes that were read.
	payload  []byte  // The stored bytes; only in a reader.
	entries  []Entry // The decoded entries; only in a reader.
	keySize  int64   // The bytes of all keys.
	dataSize int64   // The bytes of all data.
	firstKey []byte
	position int64
	err      error
}

// add appends an entry.
func (b *block) add(key, data []byte) {
	if len(b.raw) == 0 {
		b.raw = append(b.raw, make([]byte, blockHeadSize)...)
	}
	if b.entryCount == 0 {
		b.firstKey = bytes.Clone(key)
	}
	b.raw = appendEntry(b.raw, key, data)
	b.entryCount++
	b.keySize += int64(len(key))
	b.dataSize += int64(len(data))
}

// filled returns the size of the entries in bytes.
func (b *block) filled() int { return max(len(b.raw)-blockHeadSize, 0) }

// pack compresses the entries and sets the head's fields.
func (b *block) pack(compression Compression) {
	b.method = NoCompression
	payload := b.raw[blockHeadSize:]
	b.rawSize = uint32(len(payload))
	if compression != NoCompression {
		b.packed = append(b.packed[:0], b.raw[:blockHeadSize]...)
		if b.packed, b.err = compression.pack(b.packed, payload); b.err != nil {
			return
		}
		if packed := b.packed[blockHeadSize:]; pays(len(payload), len(packed)) {
			b.method, payload = compression, packed
		}
	}
	b.storedSize = uint32(len(payload))
	b.payloadSum = crc32.Checksum(payload, castagnoli)
}

// pays reports whether a block is stored compressed. It must save a sixteenth, since less isn't worth the time that every
// reader spends, and it must stay within the bounds that readers accept.
func pays(raw, packed int) bool {
	return packed < raw-raw/16 && (raw <= MaxBlockSize || raw/expansionMax <= packed)
}

// encoded returns the head for this position, followed by the stored bytes.
func (b *block) encoded(h head, position int64) []byte {
	whole := b.packed
	if b.method == NoCompression {
		whole = b.raw
	}
	b.put(whole, h, position)
	return whole
}

// decode checks the payload, decompresses it, and finds the entries. It fails for the whole block or not at all.
func (b *block) decode() {
	if b.err != nil {
		return
	}
	b.err = b.decodePayload()
}

func (b *block) decodePayload() error {
	if err := b.checkSum(crc32.Checksum(b.payload, castagnoli)); err != nil {
		return err
	}
	raw := b.payload
	if b.method != NoCompression {
		b.raw = resize(b.raw, int(b.rawSize))
		if err := b.method.unpack(b.raw, b.payload); err != nil {
			return fmt.Errorf("decompress block by %v: %w", b.method, err)
		}
		raw = b.raw
	}
	return b.parse(raw)
}

// parse finds the entries in raw, and compares their number with the head only after counting them.
func (b *block) parse(raw []byte) error {
	for len(raw) > 0 {
		e, rest, err := cutEntry(raw)
		if err != nil {
			return fmt.Errorf("entry %d of the block: %w", len(b.entries)+1, err)
		}
		if last := len(b.entries) - 1; last >= 0 && bytes.Compare(b.entries[last].Key, e.Key) >= 0 {
			return fmt.Errorf("entry %d of the block: %w", len(b.entries)+1, ErrOrder)
		}
		b.keySize += int64(len(e.Key))
		b.dataSize += int64(len(e.Data))
		b.entries, raw = append(b.entries, e), rest
	}
	if len(b.entries) != int(b.entryCount) {
		return fmt.Errorf("block has %d entries, its head says %d", len(b.entries), b.entryCount)
	}
	b.firstKey = b.entries[0].Key
	return nil
}

// lastKey returns the greatest key of a decoded block.
func (b *block) lastKey() []byte { return b.entries[len(b.entries)-1].Key }

// reset makes a block ready for reuse. It drops a buffer that grew for one large entry.
func (b *block) reset() *block {
	clear(b.entries)
	return &block{raw: reuse(b.raw), packed: reuse(b.packed), entries: b.entries[:0]}
}

func reuse(buffer []byte) []byte {
	if cap(buffer) > 2*MaxBlockSize {
		return nil
	}
	return buffer[:0]
}

// resize returns a buffer of this length, with any content. A new buffer gets some spare room for the next block.
func resize(buffer []byte, size int) []byte {
	if cap(buffer) < size {
		return make([]byte, size, size+size/8)
	}
	return buffer[:size]
}
