package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync/atomic"

	"github.com/walnutkv/walnut/internal/vfs"
)

// An index file is written once, when its segment is sealed: a header, then the position of each record.
const (
	indexMagic   = "WALNUTIX"
	indexVersion = 1

	indexMagicAt      = 0
	indexVersionAt    = indexMagicAt + 8
	indexCountAt      = indexVersionAt + 4
	indexSaltAt       = indexCountAt + 4
	indexNextSaltAt   = indexSaltAt + 8
	indexEndAt        = indexNextSaltAt + 8
	indexChainAt      = indexEndAt + 4
	indexEntriesSumAt = indexChainAt + 4
	indexSumAt        = indexEntriesSumAt + 4
	indexHeadSize     = indexSumAt + 4

	entrySize = 4
)

// index maps a segment's records to positions: in memory for an active segment, from a mapped file for a sealed one. It is a
// hint: a read checks the frame that it leads to. Positions are got concurrently with everything.
type index struct {
	chunks   atomic.Pointer[[]*indexChunk]
	anchored bool        // The chunks' chains are known: each frame was laid out, or read and checked.
	count    uint32      // Guarded by the log's submit lock while positions are added, and fixed afterwards.
	entries  io.ReaderAt // The file from its first entry on; nil where the positions are in memory.
	mapping  vfs.Mapping
}

// indexChunk is a run of positions. Its chain, of the frames before its first record's, is where a search for the chain at
// some record starts: the end of a log can be cut without reading all of its segment.
type indexChunk struct {
	chain     uint32
	positions [indexChunkSize]uint32
}

const indexChunkSize = 1024

// add adds the position of the next record. The chain is that of the frames before it.
func (x *index) add(position int64, chain uint32) {
	at := x.count % indexChunkSize
	var chunks []*indexChunk
	if have := x.chunks.Load(); have != nil {
		chunks = *have
	}
	if at == 0 {
		grown := append(chunks, &indexChunk{chain: chain}) // Not chunks, which would then be on the heap for each record.
		x.chunks.Store(&grown)
		chunks = grown
	}
	chunks[len(chunks)-1].positions[at] = uint32(position)
	x.count++
}

// get returns the position of record i of the segment, 0 where the index doesn't know it. buffer has room for an entry.
func (x *index) get(i uint64, buffer []byte) int64 {
	if x.entries != nil {
		if _, err := x.entries.ReadAt(buffer[:entrySize], indexHeadSize+int64(i)*entrySize); err != nil {
			return 0 // A hint that can't be read, such as a bad page of the mapping, is none.
		}
		return int64(binary.LittleEndian.Uint32(buffer))
	}
	chunks := x.chunks.Load()
	if chunks == nil || i/indexChunkSize >= uint64(len(*chunks)) {
		return 0
	}
	return int64((*chunks)[i/indexChunkSize].positions[i%indexChunkSize])
}

// anchor returns the last record up to record i whose chain is known: its position, its number and that chain.
func (x *index) anchor(i uint64) (position int64, number uint64, chain uint32, ok bool) {
	chunks := x.chunks.Load()
	if !x.anchored || chunks == nil || i/indexChunkSize >= uint64(len(*chunks)) {
		return 0, 0, 0, false
	}
	chunk := (*chunks)[i/indexChunkSize]
	return int64(chunk.positions[0]), i / indexChunkSize * indexChunkSize, chunk.chain, true
}

// close unmaps. No get may run or follow.
func (x *index) close() error {
	if x.mapping == nil {
		return nil
	}
	return x.mapping.Close()
}

// indexHead is what an index file says of its store: that its first records, up to a position, were durable, and what follows.
type indexHead struct {
	salt       uint64 // The store's.
	nextSalt   uint64 // That of the segment that follows, 0 where the store was closed.
	count      uint32
	end        int64
	chain      uint32
	entriesSum uint32
}

func (h indexHead) encode() []byte {
	b := append(make([]byte, 0, indexHeadSize), indexMagic...)
	b = binary.LittleEndian.AppendUint32(b, indexVersion)
	b = binary.LittleEndian.AppendUint32(b, h.count)
	b = binary.LittleEndian.AppendUint64(b, h.salt)
	b = binary.LittleEndian.AppendUint64(b, h.nextSalt)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.end))
	b = binary.LittleEndian.AppendUint32(b, h.chain)
	b = binary.LittleEndian.AppendUint32(b, h.entriesSum)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeIndexHead is the inverse of indexHead.encode.
func decodeIndexHead(b []byte) (indexHead, error) {
	if len(b) < indexHeadSize || string(b[:indexVersionAt]) != indexMagic ||
		binary.LittleEndian.Uint32(b[indexVersionAt:]) != indexVersion ||
		binary.LittleEndian.Uint32(b[indexSumAt:]) != crc32.Checksum(b[:indexSumAt], castagnoli) {
		return indexHead{}, errors.New("it has no index's header")
	}
	return indexHead{
		count:      binary.LittleEndian.Uint32(b[indexCountAt:]),
		salt:       binary.LittleEndian.Uint64(b[indexSaltAt:]),
		nextSalt:   binary.LittleEndian.Uint64(b[indexNextSaltAt:]),
		end:        int64(binary.LittleEndian.Uint32(b[indexEndAt:])),
		chain:      binary.LittleEndian.Uint32(b[indexChainAt:]),
		entriesSum: binary.LittleEndian.Uint32(b[indexEntriesSumAt:]),
	}, nil
}

// openIndexFile opens the index file of a store, and refuses one that isn't whole or is another store's.
func openIndexFile(fs vfs.FS, s *store) (head indexHead, file vfs.File, err error) {
	if file, err = fs.OpenRead(indexPath(s)); err != nil {
		return head, nil, err
	}
	encoded := make([]byte, indexHeadSize)
	if _, err = file.ReadAt(encoded, 0); err == nil {
		head, err = decodeIndexHead(encoded)
	}
	var size int64
	if err == nil {
		size, err = file.Size()
	}
	switch {
	case err != nil:
	case head.salt != s.head.salt:
		err = fmt.Errorf("it is of a store with salt %x, not %x", head.salt, s.head.salt)
	case size != indexHeadSize+int64(head.count)*entrySize:
		err = fmt.Errorf("it has %d bytes for %d records", size, head.count)
	}
	if err != nil {
		return indexHead{}, nil, errors.Join(err, file.Close())
	}
	return head, file, nil
}

// fits reports whether the index is that of the store as it is.
func (h indexHead) fits(s *store) bool {
	return h.end == s.end && h.count == s.count() && h.chain == s.chain
}

// loadIndex returns what is in a store's index file, mapped where files can be, and refuses that of a store that ends elsewhere.
func loadIndex(fs vfs.FS, s *store) (*index, error) {
	head, file, err := openIndexFile(fs, s)
	if err != nil {
		return nil, err
	}
	if !head.fits(s) {
		return nil, errors.Join(fmt.Errorf("it says that the store ends at %d", head.end), file.Close())
	}
	size := indexHeadSize + int64(head.count)*entrySize
	mapping, err := file.Map(size)
	x := &index{count: head.count, entries: mapping, mapping: mapping}
	if errors.Is(err, vfs.ErrMapUnsupported) {
		data := make([]byte, size)
		_, err = file.ReadAt(data, 0)
		x = &index{count: head.count, entries: bytes.NewReader(data)}
	}
	return x, errors.Join(err, file.Close())
}

// writeIndexFile writes the index file of a store whose end is fixed, under a temporary name until it is whole.
func writeIndexFile(fs vfs.FS, s *store, x *index, nextSalt uint64, synced bool) error {
	count := min(x.count, s.count()) // The end may have been cut since.
	data := make([]byte, indexHeadSize, indexHeadSize+int64(count)*entrySize)
	buffer := make([]byte, entrySize)
	for i := range count {
		data = binary.LittleEndian.AppendUint32(data, uint32(x.get(uint64(i), buffer)))
	}
	copy(data, indexHead{
		salt: s.head.salt, nextSalt: nextSalt, count: count, end: s.end, chain: s.chain,
		entriesSum: crc32.Checksum(data[indexHeadSize:], castagnoli),
	}.encode())
	return vfs.WriteAs(fs, indexPath(s), bytes.NewReader(data), synced)
}
