package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
)

// Reader reads a snapshot from an io.Reader. It reads exactly the snapshot's bytes, so that other data may follow them. Only
// NewReader and a running iterator of Entries call the io.Reader, in the caller's goroutine. It should be buffered if small
// reads are expensive. A Reader belongs to one goroutine.
//
// Invariant: the rows and totals in trailer are those of the blocks returned so far.
type Reader struct {
	r        io.Reader
	head     head
	position int64  // The position of the next byte.
	sum      uint32 // The checksum of the bytes before position.
	decoding queue[*block]
	free     []*block
	stop     error     // Why no more blocks are read; errTrailer if the trailer follows.
	ending   blockHead // The trailer's head.
	trailer  trailer
	lastKey  []byte
	used     bool
}

// errTrailer reports that the blocks have ended.
var errTrailer = errors.New("the trailer follows")

// NewReader reads the header. The error is a *CorruptError if there is none, and ErrVersion if a newer program wrote it. Of
// the options it uses only Workers.
func NewReader(r io.Reader, o Options) (*Reader, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	reader := &Reader{r: r, decoding: queue[*block]{limit: o.Workers}}
	var encoded [headSize]byte
	n, err := io.ReadFull(r, encoded[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, readFailure("", 0, err)
	}
	if reader.head, err = decodeHead(encoded[:n]); err != nil {
		return nil, corrupt("", 0, err)
	}
	reader.passed(encoded[:])
	return reader, nil
}

// Header returns the header.
func (r *Reader) Header() Header { return r.head.Header }

// Info describes what was read so far. It is complete once the iterator of Entries has ended without an error.
func (r *Reader) Info() Info { return r.trailer.info(r.head, r.position) }

// Entries yields the entries in order, and an error as the last thing if the snapshot is damaged, cut or can't be read. Only
// an end without an error shows that the snapshot was whole, so a caller shouldn't do anything before that which it can't
// undo. An entry's bytes are valid until the next one. A second call yields ErrClosed.
func (r *Reader) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if r.used {
			yield(Entry{}, ErrClosed)
			return
		}
		r.used = true
		defer r.decoding.wait()
		for {
			b, err := r.next()
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if b == nil {
				return
			}
			for _, e := range b.entries {
				if !yield(e, nil) {
					return
				}
			}
			r.free = append(r.free, b.reset())
		}
	}
}

// next returns the next block, or nil after the last if the trailer and the footer agree with what was read.
func (r *Reader) next() (*block, error) {
	for r.stop == nil && !r.decoding.full() {
		r.stop = r.readBlock()
	}
	if !r.decoding.empty() {
		b := r.decoding.next()
		return b, r.take(b)
	}
	if errors.Is(r.stop, errTrailer) {
		return nil, r.finish()
	}
	return nil, r.stop
}

// readBlock reads a block and starts decoding it, or returns why there is none.
func (r *Reader) readBlock() error {
	position := r.position
	var encoded [blockHeadSize]byte
	if err := r.readFull(encoded[:]); err != nil {
		return readFailure("", position, err)
	}
	fields, err := decodeBlockHead(encoded[:], r.head, position)
	if err != nil {
		return corrupt("", position, err)
	}
	if fields.method == trailerMethod {
		r.ending = fields
		return errTrailer
	}
	if err := fields.check(r.head.compression); err != nil {
		return corrupt("", position, err)
	}
	b := takeFree(&r.free)
	b.blockHead, b.position = fields, position
	r.passed(encoded[:])
	if b.packed, err = r.readPart(b.packed, int(fields.storedSize)); err != nil {
		return readFailure("", position, err)
	}
	b.payload = b.packed
	r.passed(b.payload)
	r.decoding.start(b, b.decode)
	return nil
}

// readFull fills dst.
func (r *Reader) readFull(dst []byte) error {
	_, err := io.ReadFull(r.r, dst)
	return err
}

// readStep is how much readPart makes room for before anything has arrived. Most blocks are hardly larger.
const readStep = 64 << 10

// readPart reads size bytes into buffer, which grows with the bytes that arrive: a stream that ends early takes at most
// twice its size in memory.
func (r *Reader) readPart(buffer []byte, size int) ([]byte, error) {
	buffer = buffer[:0]
	for len(buffer) < size {
		step := min(size-len(buffer), max(cap(buffer), readStep))
		grown := len(buffer) + step
		if cap(buffer) < grown {
			buffer = append(make([]byte, 0, grown), buffer...)
		}
		if err := r.readFull(buffer[len(buffer):grown]); err != nil {
			return nil, err
		}
		buffer = buffer[:grown]
	}
	return buffer, nil
}

// passed counts bytes before the trailer.
func (r *Reader) passed(data []byte) {
	r.position += int64(len(data))
	r.sum = crc32.Update(r.sum, crc32.IEEETable, data)
}

// take checks a decoded block, and notes what the trailer should say about it.
func (r *Reader) take(b *block) error {
	if b.err == nil && len(r.trailer.rows) > 0 && bytes.Compare(r.lastKey, b.firstKey) >= 0 {
		b.err = fmt.Errorf("block %d: %w", len(r.trailer.rows)+1, ErrOrder)
	}
	if b.err != nil {
		return corrupt("", b.position, b.err)
	}
	r.lastKey = append(r.lastKey[:0], b.lastKey()...)
	b.firstKey = bytes.Clone(b.firstKey)
	if err := r.trailer.add(b, b.position); err != nil {
		return corrupt("", b.position, err)
	}
	return nil
}

// disagrees says how the trailer differs from the one expected.
func (r *Reader) disagrees(expected []byte) error {
	known := r.trailer.head(expected)
	return fmt.Errorf("trailer of %d bytes for %d blocks with checksum %08x doesn't agree with what was read: %d bytes, %d blocks, checksum %08x",
		r.ending.storedSize, r.ending.entryCount, r.ending.payloadSum, known.storedSize, known.entryCount, known.payloadSum)
}

// finish compares trailer and footer with what was read. All their bytes but the state's checksum are known by now, so a wrong
// length is refused before they are read.
func (r *Reader) finish() error {
	r.trailer.sum = r.sum
	expected := r.trailer.appendTo(nil, r.head)
	position := r.position
	if r.ending.storedSize != uint32(len(expected)) {
		return corrupt("", position, r.disagrees(expected))
	}
	got, err := r.readPart(nil, len(expected))
	if err != nil {
		return readFailure("", position, err)
	}
	r.trailer.takeStateSum(got, r.head)
	if expected = r.trailer.appendTo(expected[:0], r.head); r.ending != r.trailer.head(expected) || !bytes.Equal(got, expected) {
		return corrupt("", position, r.disagrees(expected))
	}
	r.position += r.ending.size()
	footer := make([]byte, footerSize)
	if err := r.readFull(footer); err != nil {
		return readFailure("", r.position, err)
	}
	at, err := decodeFooter(footer, r.head)
	if err == nil && at != position {
		err = fmt.Errorf("footer says that the trailer is at %d, it is at %d", at, position)
	}
	if err != nil {
		return corrupt("", r.position, err)
	}
	r.position += footerSize
	return nil
}
