package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// Format1 returns a reader of the snapshot as format 1 has it, and how many bytes that is, for a program that reads nothing newer. Only
// Info.StateSum is lost. The file must stay open. Damage in a block stays visible, since the checksum of its bytes is the old one.
func (f *File) Format1() (r io.Reader, size int64) {
	h := f.head
	h.version = formatUnsummed
	h.sum = binary.LittleEndian.Uint32(h.appendTo(nil)[headSumAt:])
	return &format1{file: f, head: h, rows: f.trailer.rows, position: headSize, part: bytes.NewReader(h.appendTo(nil))},
		f.size - int64(f.head.totalsSize()-h.totalsSize())
}

// format1 is a file in format 1. Everything is where it was, up to the trailer, but each checksum of a place follows from the header's.
type format1 struct {
	file     *File
	head     head
	rows     []row // The blocks that follow part.
	position int64 // Where part ends.
	part     io.Reader
	sum      uint32 // The checksum of the bytes that were read.
	ending   bool   // part is the trailer and the footer.
}

// Read implements io.Reader.
func (r *format1) Read(p []byte) (int, error) {
	for {
		n, err := r.part.Read(p)
		r.sum = crc32.Update(r.sum, crc32.IEEETable, p[:n])
		switch {
		case err == nil || errors.Is(err, io.EOF) && r.ending:
			return n, err
		case !errors.Is(err, io.EOF):
			return n, readFailure(r.file.path, r.position, err)
		case n > 0:
			return n, nil
		}
		r.turn()
	}
}

// turn goes on with the next part.
func (r *format1) turn() {
	if len(r.rows) == 0 {
		t := *r.file.trailer
		t.sum = r.sum
		r.part, r.ending = bytes.NewReader(t.ending(r.head, r.position)), true
		return
	}
	next := r.rows[0]
	r.rows = r.rows[1:]
	encoded := make([]byte, blockHeadSize)
	next.put(encoded, r.head, next.position)
	r.part = io.MultiReader(
		bytes.NewReader(encoded), io.NewSectionReader(r.file.file, next.position+blockHeadSize, int64(next.storedSize)),
	)
	r.position += next.size()
}
