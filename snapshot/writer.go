package snapshot

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
)

// Writer writes a snapshot to an io.Writer. It compresses blocks in other goroutines while the next one is being filled, and
// calls the io.Writer only from Add and Close. A Writer belongs to one goroutine. It holds a block for each worker, and one
// more.
//
// After an error of the io.Writer every call returns that error, and the written bytes are not a snapshot. An abandoned
// Writer needs no Close.
type Writer struct {
	w        io.Writer
	opts     Options
	head     head
	position int64 // The position of the next byte.
	filling  *block
	packing  queue[*block]
	free     []*block
	lastKey  []byte
	added    bool // Whether lastKey is set.
	trailer  trailer
	err      error // The error of the first call that failed for good, or ErrClosed.
}

// NewWriter writes a header and returns a Writer for its entries. The header must have a From of at most Offset, and a Time
// that can be stored.
func NewWriter(w io.Writer, h Header, o Options) (*Writer, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	made, err := newHead(h, o.Compression)
	if err != nil {
		return nil, err
	}
	writer := &Writer{w: w, opts: o, head: made, filling: &block{}, packing: queue[*block]{limit: o.Workers}}
	if err := writer.write(made.appendTo(nil)); err != nil {
		return nil, err
	}
	return writer, nil
}

// Add adds an entry, which it copies. If the key is not greater than the previous one, Add returns ErrOrder and doesn't add
// the entry. An entry over the limits is not added either; the error is ErrTooLarge.
func (w *Writer) Add(key, data []byte) error {
	switch {
	case w.err != nil:
		return w.err
	case len(key) > MaxKeySize:
		return fmt.Errorf("%w: key of %d bytes, limit %d", ErrTooLarge, len(key), MaxKeySize)
	case len(data) > MaxDataSize:
		return fmt.Errorf("%w: data of %d bytes, limit %d", ErrTooLarge, len(data), MaxDataSize)
	case w.added && bytes.Compare(w.lastKey, key) >= 0:
		return fmt.Errorf("%w: %q follows %q", ErrOrder, clip(key), clip(w.lastKey))
	}
	if filled := w.filling.filled(); filled > 0 && filled+entrySize(key, data) > w.opts.BlockSize {
		if w.err = w.turn(); w.err != nil {
			return w.err
		}
	}
	w.filling.add(key, data)
	w.lastKey, w.added = append(w.lastKey[:0], key...), true
	return nil
}

// clip shortens a key for the text of an error.
func clip(key []byte) []byte { return key[:min(len(key), 64)] }

// turn starts compressing the filled block. If all workers are busy, it writes the oldest block first.
func (w *Writer) turn() error {
	if w.packing.full() {
		if err := w.writeOldest(); err != nil {
			return err
		}
	}
	b := w.filling
	w.packing.start(b, func() { b.pack(w.opts.Compression) })
	w.filling = takeFree(&w.free)
	return nil
}

// writeOldest waits until the oldest block is compressed and writes it.
func (w *Writer) writeOldest() error {
	b := w.packing.next()
	if b.err != nil {
		return fmt.Errorf("compress a block by %v: %w", w.opts.Compression, b.err)
	}
	if err := w.trailer.add(b, w.position); err != nil {
		return err
	}
	if err := w.write(b.encoded(w.head, w.position)); err != nil {
		return err
	}
	w.free = append(w.free, b.reset())
	return nil
}

// write writes bytes before the trailer, which the checksum of the whole covers.
func (w *Writer) write(data []byte) error {
	if err := w.writeUnsummed(data); err != nil {
		return err
	}
	w.trailer.sum = crc32.Update(w.trailer.sum, crc32.IEEETable, data)
	return nil
}

func (w *Writer) writeUnsummed(data []byte) error {
	n, err := w.w.Write(data)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write snapshot at position %d: %w", w.position, err)
	}
	w.position += int64(len(data))
	return nil
}

// Close writes the last block, the trailer and the footer. It neither closes the io.Writer nor syncs anything. The snapshot
// is whole once Close has returned nil.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.err = w.finish(); w.err != nil {
		return w.err
	}
	w.err = ErrClosed
	return nil
}

func (w *Writer) finish() error {
	if w.filling.filled() > 0 {
		if err := w.turn(); err != nil {
			return err
		}
	}
	for !w.packing.empty() {
		if err := w.writeOldest(); err != nil {
			return err
		}
	}
	if w.opts.StateSum != nil {
		w.trailer.stateSum = *w.opts.StateSum
	}
	return w.writeUnsummed(w.trailer.ending(w.head, w.position))
}

// Info describes what was written so far. It is complete once Close has returned nil.
func (w *Writer) Info() Info { return w.trailer.info(w.head, w.position) }
