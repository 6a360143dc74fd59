package wal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/walnutkv/walnut/internal/vfs"
)

// segment is one store with its index. Its files stay open while it has users: the log, until the segment is truncated or the
// log is closed, and each reader.
type segment struct {
	log   *Log
	store *store
	index atomic.Pointer[index]
	next  atomic.Pointer[segment] // Its header says where this one ends.
	users atomic.Int32
	wrong atomic.Bool // The index file is missing or wrong: it is written when the log is closed.

	mapOnce sync.Once
	mapping vfs.Mapping // Of the store, for reads of single records; see bytes. Set by mapOnce.

	mu      sync.Mutex
	retired []*index // Replaced indexes, which reads may still be looking into. Guarded by mu.
}

// newSegment returns a segment that the log uses.
func (l *Log) newSegment(s *store, x *index) *segment {
	g := &segment{log: l, store: s}
	g.index.Store(x)
	g.users.Store(1)
	return g
}

func (g *segment) base() uint64 { return g.store.head.base }

// release gives up one use, and closes the files after the last one.
func (g *segment) release() error {
	if g.users.Add(-1) > 0 {
		return nil
	}
	var unmapped error
	if g.mapping != nil {
		unmapped = g.mapping.Close()
	}
	return errors.Join(unmapped, g.store.unmap(), g.store.file.Close(), g.index.Load().close(), each(g.retired, (*index).close))
}

// read returns the payload of a record that was written. Where the index doesn't lead to it the store is searched.
func (g *segment) read(offset uint64) ([]byte, error) {
	pooled := readBuffers.Get().(*readBuffer)
	defer readBuffers.Put(pooled)
	buffer := pooled[:]
	position := g.index.Load().get(offset-g.base(), buffer)
	payload, err := g.store.readFrame(g.bytes(), position, offset, buffer)
	if errors.Is(err, vfs.ErrFault) {
		payload, err = g.store.readFrame(g.store.file, position, offset, buffer) // It knows the disk's error, or has none.
	}
	if err == nil {
		return payload, nil
	}
	if position, err = g.search(offset, position); err != nil {
		return nil, err
	}
	if payload, err = g.store.readFrame(g.store.file, position, offset, buffer); err != nil {
		return nil, readError(g.store.path, position, offset, err)
	}
	return payload, nil
}

// bytes returns what the first bytes of a record are read from: of a sealed store, whose bytes don't change any more, a mapping, which takes
// no call; the file of any other, and where the store can't be mapped.
func (g *segment) bytes() io.ReaderAt {
	if g.next.Load() == nil {
		return g.store.file
	}
	g.mapOnce.Do(g.mapStore)
	if g.mapping == nil {
		return g.store.file
	}
	return g.mapping
}

// mapStore maps a sealed store. An end that is cut later leaves pages in the mapping that fault, which hold no record.
func (g *segment) mapStore() {
	mapping, err := g.store.file.MapRead(g.store.written.position())
	switch {
	case err == nil:
		g.mapping = mapping
	case !errors.Is(err, vfs.ErrMapUnsupported):
		g.log.opts.Logger.Warn("sealed store can't be mapped; each read is a call instead", "path", g.store.path, "error", err)
	}
}

// find returns the position of a record that was written.
func (g *segment) find(offset uint64) (int64, error) {
	if offset == g.base() {
		return headSize, nil
	}
	buffer := make([]byte, frameHeadSize)
	position := g.index.Load().get(offset-g.base(), buffer)
	if head, _, err := g.store.headAt(g.store.file, position, buffer); err == nil && head.kind == kindRecord && head.offset(g.base()) == offset {
		return position, nil
	}
	return g.search(offset, position)
}

// search finds a record by going through the store. Where the index said another position, it goes on with what is found.
func (g *segment) search(offset uint64, was int64) (int64, error) {
	x, err := g.store.indexAgain()
	if err != nil {
		return 0, err
	}
	position := x.get(offset-g.base(), nil)
	switch {
	case position == 0:
		return 0, corrupt(g.store.path, was, offset, errors.New("the record is nowhere in its segment"))
	case position != was && g.next.Load() != nil:
		g.goOnWith(x)
		g.wrong.Store(true)
		g.log.rebuilt.Add(1)
		g.log.opts.Logger.Warn("index was wrong and is made again", "path", indexPath(g.store), "offset", offset, "said", was, "is", position)
	}
	return position, nil
}

// goOnWith replaces the index.
func (g *segment) goOnWith(x *index) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if was := g.index.Swap(x); was.mapping != nil {
		g.retired = append(g.retired, was)
	}
}

// readError says where a read failed: with a *CorruptError where the bytes are at fault.
func readError(path string, position int64, offset uint64, err error) error {
	if isScanStop(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt(path, position, offset, err)
	}
	return fmt.Errorf("read %s at position %d: %w", path, position, err)
}

// indexAgain makes an index of the records that were written from the headers of their frames. It goes on after bytes that don't
// check out, so that a damaged record hides no other.
func (s *store) indexAgain() (*index, error) {
	sc, records, x := s.scan(s.written.position()), s.written.records(), &index{}
	for at := int64(headSize); at < sc.limit; {
		head, _, err := sc.head(at)
		if err != nil && !isScanStop(err) {
			return x, readError(s.path, at, 0, err)
		}
		if err != nil {
			at += frameAlign
			continue
		}
		if head.kind == kindRecord {
			isSound := int64(head.index)*frameSizeMin <= at-headSize
			for isSound && x.count < head.index && uint64(x.count) < records {
				x.add(0, 0) // Damaged, or its header is.
			}
			if x.count == head.index {
				x.add(at, 0)
			}
		}
		at += head.size()
	}
	return x, nil
}

// keepIndex writes the index file of a segment whose end is fixed, and goes on with that. A hint that can't be kept is made
// again when it is needed. truncateMu is held, or the segment has just been cut.
func (l *Log) keepIndex(g *segment, synced bool) {
	nextSalt := uint64(0)
	if next := g.next.Load(); next != nil {
		nextSalt = next.store.head.salt
	}
	x := g.index.Load()
	err := writeIndexFile(l.opts.FS, g.store, x, nextSalt, synced)
	if err == nil {
		x, err = loadIndex(l.opts.FS, g.store)
	}
	if err != nil {
		l.opts.Logger.Warn("index can't be written; it is kept in memory", "path", indexPath(g.store), "error", err)
		return
	}
	g.goOnWith(x)
	g.wrong.Store(false)
}

func indexPath(s *store) string { return siblingPath(s, indexName(s.head.base)) }

// siblingPath returns the path of a file beside a store.
func siblingPath(s *store, name string) string { return filepath.Join(filepath.Dir(s.path), name) }
