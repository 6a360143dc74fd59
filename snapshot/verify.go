package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Verify reads the file from its start to its end and checks everything there is: each block, the order of all keys, the
// counts, the checksum of the whole, and that the trailer says the same. The error is a *CorruptError for the first thing
// that is wrong, or the cause of the context's end.
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

// named gives an error of a stream the file's path.
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

// contextReader fails once its context has ended.
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
