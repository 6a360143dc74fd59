package snapshot

import (
	"iter"
)

// Entries yields all entries in order. Blocks are read and decoded by so many workers ahead of the one that is handed out,
// 0 for as many as Options.Workers has by default; each has a block in memory. An entry's bytes are valid until the next
// one. Where a block is damaged or can't be read, the error is the last thing yielded, behind the entries of the blocks
// in front.
func (f *File) Entries(workers int) iter.Seq2[Entry, error] { return f.EntriesFrom(nil, workers) }

// EntriesFrom is Entries, but for the entries with smaller keys.
func (f *File) EntriesFrom(key []byte, workers int) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		o, err := Options{Workers: workers}.withDefaults()
		if err != nil {
			yield(Entry{}, err)
			return
		}
		c := &cursor{file: f, next: max(f.blockOf(key), 0), reading: queue[*block]{limit: o.Workers}}
		defer c.reading.wait()
		for b := c.block(); b != nil; b = c.block() {
			if b.err != nil {
				yield(Entry{}, b.err)
				return
			}
			for _, e := range b.entries[entryFrom(b.entries, key):] {
				if !yield(e, nil) {
					return
				}
			}
			c.free = append(c.free, b.reset())
		}
	}
}

// cursor goes through the blocks of a file, several at a time.
type cursor struct {
	file    *File
	next    int // The number of the next block to read.
	reading queue[*block]
	free    []*block
}

// block returns the next block, or nil behind the last.
func (c *cursor) block() *block {
	for !c.reading.full() && c.next < len(c.file.trailer.rows) {
		b, number := takeBlock(&c.free), c.next
		c.reading.start(b, func() { c.file.readBlock(b, number) })
		c.next++
	}
	if c.reading.empty() {
		return nil
	}
	return c.reading.next()
}
