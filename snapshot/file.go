package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"sort"

	"github.com/walnutkv/walnut/internal/vfs"
)

// File is a snapshot's file, open for reading. Its methods may be called concurrently, except for Close.
type File struct {
	file    vfs.File
	path    string
	size    int64
	head    head
	trailer *trailer
}

// BlockInfo describes a block: where it is and what it holds.
type BlockInfo struct {
	// Position is where the block begins in the file. StoredBytes is its size in the file, its head included, and RawBytes
	// the size of its entries when decompressed.
	Position, StoredBytes, RawBytes int64
	// Entries is the number of entries.
	Entries int
	// Compression is how this block is stored.
	Compression Compression
	// FirstKey is the key of the first entry. It must not be changed.
	FirstKey []byte
}

// Open opens a file and checks its header, footer and trailer, so that only the blocks may still prove damaged. If the name
// is that of a snapshot in a directory, its offset must be the header's. The error is a *CorruptError if the file is
// damaged, cut or not a snapshot, and ErrVersion if a newer program wrote it. fsys is for this module's tests; nil means the
// operating system's.
func Open(fsys vfs.FS, path string) (*File, error) {
	opened, err := orOS(fsys).OpenRead(path)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	f := &File{file: opened, path: path}
	if err := f.load(); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return f, nil
}

// load reads header, footer and trailer.
func (f *File) load() error {
	size, err := f.file.Size()
	if err != nil {
		return fmt.Errorf("open snapshot %s: %w", f.path, err)
	}
	f.size = size
	encoded := make([]byte, min(size, headSize))
	if err := f.readAt(encoded, 0); err != nil {
		return err
	}
	if f.head, err = decodeHead(encoded); err != nil {
		return corrupt(f.path, 0, err)
	}
	if offset, named := parseName(f.path); named && offset != f.head.Offset {
		return corrupt(f.path, 0, fmt.Errorf("header says offset %d, the name says %d", f.head.Offset, offset))
	}
	return f.loadTrailer()
}

func (f *File) loadTrailer() error {
	footerPosition := f.size - footerSize
	if footerPosition < headSize+blockHeadSize+int64(f.head.totalsSize()) {
		return corrupt(f.path, f.size, errCut)
	}
	footer := make([]byte, footerSize)
	if err := f.readAt(footer, footerPosition); err != nil {
		return err
	}
	position, err := decodeFooter(footer, f.head)
	if err != nil {
		return corrupt(f.path, footerPosition, err)
	}
	if position < headSize || position > footerPosition-blockHeadSize || footerPosition-position > blockHeadSize+trailerSizeMax {
		return corrupt(f.path, footerPosition, fmt.Errorf("footer says that the trailer is at %d", position))
	}
	encoded := make([]byte, footerPosition-position)
	if err := f.readAt(encoded, position); err != nil {
		return err
	}
	if err := f.decodeTrailer(encoded, position); err != nil {
		return corrupt(f.path, position, err)
	}
	return nil
}

func (f *File) decodeTrailer(encoded []byte, position int64) error {
	fields, err := decodeBlockHead(encoded, f.head, position)
	if err != nil {
		return err
	}
	if fields.size() != int64(len(encoded)) {
		return fmt.Errorf("trailer has %d bytes, its head says %d", len(encoded), fields.size())
	}
	f.trailer, err = decodeTrailer(encoded[blockHeadSize:], f.head, fields, position)
	return err
}

// readAt fills dst.
func (f *File) readAt(dst []byte, position int64) error {
	if n, err := f.file.ReadAt(dst, position); n < len(dst) {
		return readFailure(f.path, position, err)
	}
	return nil
}

// Close closes the file. No method may be called after it, and no iterator may be running.
func (f *File) Close() error { return f.file.Close() }

// Path returns the path that was opened.
func (f *File) Path() string { return f.path }

// Info returns what the header and the trailer say.
func (f *File) Info() Info { return f.trailer.info(f.head, f.size) }

// Blocks describes the blocks, in order.
func (f *File) Blocks() []BlockInfo {
	blocks := make([]BlockInfo, 0, len(f.trailer.rows))
	for _, r := range f.trailer.rows {
		blocks = append(blocks, BlockInfo{
			Position: r.position, StoredBytes: r.size(), RawBytes: int64(r.rawSize), Entries: int(r.entryCount),
			Compression: r.method, FirstKey: r.firstKey,
		})
	}
	return blocks
}

// ReadBlock returns the entries of a block; blocks are numbered from 0. The entries stay valid. The error is a *CorruptError
// if the block is damaged.
func (f *File) ReadBlock(number int) ([]Entry, error) {
	if number < 0 || number >= len(f.trailer.rows) {
		return nil, fmt.Errorf("block %d of snapshot %s: there are %d", number, f.path, len(f.trailer.rows))
	}
	b := &block{}
	f.readBlock(b, number)
	return b.entries, b.err
}

// readBlock reads and decodes a block, and sets the block's err if that fails.
func (f *File) readBlock(b *block, number int) {
	r := f.trailer.rows[number]
	b.packed = resize(b.packed, int(r.size()))
	if b.err = f.readAt(b.packed, r.position); b.err != nil {
		return
	}
	b.blockHead, b.payload = r.blockHead, b.packed[blockHeadSize:]
	if err := f.decodeBlock(b, b.packed[:blockHeadSize], number); err != nil {
		b.entries, b.err = nil, corrupt(f.path, r.position, err)
	}
}

// decodeBlock decodes a block and compares it with its own row and with the next block's first key.
func (f *File) decodeBlock(b *block, encoded []byte, number int) error {
	r := f.trailer.rows[number]
	if err := f.checkHead(encoded, r); err != nil {
		return err
	}
	if b.decode(); b.err != nil {
		return b.err
	}
	if !bytes.Equal(b.firstKey, r.firstKey) {
		return errors.New("block's first key doesn't agree with the trailer")
	}
	if next := number + 1; next < len(f.trailer.rows) && bytes.Compare(b.lastKey(), f.trailer.rows[next].firstKey) >= 0 {
		return fmt.Errorf("last entry of the block and the next block: %w", ErrOrder)
	}
	return nil
}

// checkHead compares a block's head as it is stored with its row.
func (f *File) checkHead(encoded []byte, r row) error {
	known := make([]byte, blockHeadSize)
	r.put(known, f.head, r.position)
	if !bytes.Equal(encoded, known) {
		return errors.New("block head doesn't agree with the trailer")
	}
	return nil
}

// blockOf returns the number of the block that would hold a key, or -1 for a key before the first.
func (f *File) blockOf(key []byte) int {
	return sort.Search(len(f.trailer.rows), func(i int) bool {
		return bytes.Compare(f.trailer.rows[i].firstKey, key) > 0
	}) - 1
}

// Get returns the data of the entry with this key. It reads one block. The data stays valid.
func (f *File) Get(key []byte) (data []byte, found bool, err error) {
	number := f.blockOf(key)
	if number < 0 {
		return nil, false, nil
	}
	entries, err := f.ReadBlock(number)
	if err != nil {
		return nil, false, err
	}
	i := entryFrom(entries, key)
	if i == len(entries) || !bytes.Equal(entries[i].Key, key) {
		return nil, false, nil
	}
	return entries[i].Data, true, nil
}

// entryFrom returns the index of the first entry with this key or a greater one.
func entryFrom(entries []Entry, key []byte) int {
	return sort.Search(len(entries), func(i int) bool { return bytes.Compare(entries[i].Key, key) >= 0 })
}
