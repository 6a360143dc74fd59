package snapshot

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// sumBytes is how much of a block VerifySums reads at once. It is all the memory that VerifySums takes.
const sumBytes = 256 << 10

// VerifySums reads every block and compares it with the trailer and with its checksum; Open has done the same for header,
// trailer and footer. So a nil error means that the file holds every byte that was written. VerifySums neither
// decompresses nor decodes, so it costs little more than reading the file. Only Verify finds what was wrong before its
// checksum was computed. The error is a *CorruptError for the first block that is damaged, or the cause of the context's
// end.
func (f *File) VerifySums(ctx context.Context) error {
	buffer := make([]byte, min(f.size, sumBytes))
	for _, r := range f.trailer.rows {
		if err := f.verifySum(ctx, r, buffer); err != nil {
			return err
		}
	}
	return nil
}

// verifySum reads a block through the buffer and compares it with its row.
func (f *File) verifySum(ctx context.Context, r row, buffer []byte) error {
	source := &contextReader{ctx: ctx, r: io.NewSectionReader(f.file, r.position, r.size())}
	encoded := buffer[:blockHeadSize]
	if _, err := io.ReadFull(source, encoded); err != nil {
		return readFailure(f.path, r.position, err)
	}
	if err := f.checkHead(encoded, r); err != nil {
		return corrupt(f.path, r.position, err)
	}
	sum := crc32.New(castagnoli)
	read, err := io.CopyBuffer(sum, source, buffer)
	if err == nil && read < int64(r.storedSize) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return readFailure(f.path, r.position, err)
	}
	if err := r.checkSum(sum.Sum32()); err != nil {
		return corrupt(f.path, r.position, err)
	}
	return nil
}

// Verify reads the file from its start to its end and checks everything: each block, the order of all keys, the counts, the
// checksum of the whole, and that the trailer agrees. The error is a *CorruptError for the first part that is wrong, or the
// cause of the context's end.
func (f *File) Verify(ctx context.Context) error {
	source := &contextReader{ctx: ctx, r: io.NewSectionReader(f.file, 0, f.size)}
	r, err := NewReader(source, Options{})
	if err == nil {
		for _, err = range r.Entries() {
			if err != nil {
				break
			}
		}
	}
	if err == nil && r.Info() != f.Info() {
		err = corrupt("", r.position, fmt.Errorf("snapshot ends at %d of %d bytes, or its parts disagree", r.position, f.size))
	}
	return f.named(err)
}

// named adds the file's path to an error of a stream.
func (f *File) named(err error) error {
	var damage *CorruptError
	if errors.As(err, &damage) {
		return corrupt(f.path, damage.Position, damage.Err)
	}
	if err != nil {
		return fmt.Errorf("verify %s: %w", f.path, err)
	}
	return nil
}

// contextReader is a reader that fails once its context has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
