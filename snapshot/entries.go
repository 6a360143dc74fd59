package snapshot

import (
	"iter"
	"slices"
)

// Entries yields all entries in order. The given number of workers read and decode blocks ahead of the one being yielded,
// each with a block in memory; 0 means the default of Options.Workers. An entry's bytes are valid until the next one. If a
// block is damaged or can't be read, the entries of the blocks before it are yielded, and then the error as the last thing.
// Like VerifySums, an iteration to the end without an error has compared every block with its checksum.
func (f *File) Entries(workers int) iter.Seq2[Entry, error] { return f.EntriesFrom(nil, workers) }

// EntriesFrom is Entries without the entries that have smaller keys.
func (f *File) EntriesFrom(key []byte, workers int) iter.Seq2[Entry, error] {
	return decodeFrom(f, key, workers, func(e Entry) (Entry, error) { return e, nil })
}

// Decode is Entries, but yields the value that decode returns for each entry. The workers call decode, several at a time
// and ahead of what is yielded, so that the caller doesn't spend time on decoding. The entry's bytes are valid until decode
// returns. After an error of decode, the values of the entries before it are yielded, and then the error as it is.
func Decode[T any](f *File, workers int, decode func(Entry) (T, error)) iter.Seq2[T, error] {
	return decodeFrom(f, nil, workers, decode)
}

// decodeFrom is Decode without the entries that have smaller keys. An entry's bytes are valid until the next value.
func decodeFrom[T any](f *File, key []byte, workers int, decode func(Entry) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		o, err := Options{Workers: workers}.withDefaults()
		if err != nil {
			yield(none, err)
			return
		}
		c := &cursor[T]{
			file: f, key: key, decode: decode,
			next: max(f.blockOf(key), 0), reading: queue[*decodedBlock[T]]{limit: o.Workers},
		}
		defer c.reading.wait()
		for b := c.block(); b != nil; b = c.block() {
			for _, value := range b.values {
				if !yield(value, nil) {
					return
				}
			}
			if b.err != nil {
				yield(none, b.err)
				return
			}
			c.free = append(c.free, b.reset())
		}
	}
}

// decodedBlock is a block of a file with the values of its entries. If err is set, they are the values before the error.
type decodedBlock[T any] struct {
	block
	values []T
}

// reset makes a block ready for reuse. It clears the values so that they keep nothing alive.
func (b *decodedBlock[T]) reset() *decodedBlock[T] {
	clear(b.values)
	return &decodedBlock[T]{block: *b.block.reset(), values: b.values[:0]}
}

// cursor goes through the blocks of a file, several at a time.
type cursor[T any] struct {
	file    *File
	key     []byte // Entries with smaller keys are left out.
	decode  func(Entry) (T, error)
	next    int // The number of the next block to read.
	reading queue[*decodedBlock[T]]
	free    []*decodedBlock[T]
}

// block returns the next block, or nil after the last.
func (c *cursor[T]) block() *decodedBlock[T] {
	for !c.reading.full() && c.next < len(c.file.trailer.rows) {
		b, number := takeFree(&c.free), c.next
		c.reading.start(b, func() { c.read(b, number) })
		c.next++
	}
	if c.reading.empty() {
		return nil
	}
	return c.reading.next()
}

// read reads a block and decodes its values, in a worker.
func (c *cursor[T]) read(b *decodedBlock[T], number int) {
	if c.file.readBlock(&b.block, number); b.err != nil {
		return
	}
	entries := b.entries[entryFrom(b.entries, c.key):]
	b.values = slices.Grow(b.values, len(entries))
	for _, e := range entries {
		value, err := c.decode(e)
		if err != nil {
			b.err = err
			return
		}
		b.values = append(b.values, value)
	}
}
