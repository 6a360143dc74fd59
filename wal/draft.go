package wal

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/walnutkv/walnut/internal/vfs"
)

// draft is a store that is being made: a file with a temporary name, which is no part of the log. The next open removes one that
// a process left when it died.
//
// Invariant: the file gets a store's name once all that is in it is durable, so that a file with such a name always has a whole
// header and room for a seal.
type draft struct {
	*store // Without a header.

	log *Log
}

// newDraft makes the file. It is called as the store with this base would be.
func (l *Log) newDraft(base uint64) (*draft, error) {
	path := joinName(l.dir, storeName(base))
	file, err := vfs.CreateTemporary(l.opts.FS, path)
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return nil, err // For the moment: nothing was written.
	case err != nil:
		return nil, noSpaceOr(err)
	}
	return &draft{log: l, store: &store{file: file, path: path + temporarySuffix, seldomSynced: l.syncsSeldom()}}, nil
}

// createStore makes a store without records, in place of one of that name. An error that isn't ErrFailed changes nothing.
func (l *Log) createStore(head storeHead) (*store, error) { return l.createSized(head, l.firstSize()) }

// createNext is createStore of one that follows a full one. In a mode that syncs seldom it gets all its space at once: growing
// later means a sync, and that of all the records that came meanwhile.
func (l *Log) createNext(head storeHead) (*store, error) {
	size := l.firstSize()
	if l.syncsSeldom() {
		size = l.opts.SegmentSize
	}
	return l.createSized(head, size)
}

func (l *Log) createSized(head storeHead, size int64) (*store, error) {
	d, err := l.newDraft(head.base)
	if err != nil {
		return nil, err
	}
	if size, err = d.makeSpace(firstSizeMin, size); err != nil {
		return nil, d.drop(noSpaceOr(err))
	}
	return d.finish(head, size, nil, 0)
}

// lateBytes is how many bytes of a store whose first record was written before are written with its header.
const lateBytes = 4 << 10

// finish writes the header, and what comes before lateBytes of a first record unless that is nil, and gives the file its name. size
// is what is allocated.
func (d *draft) finish(head storeHead, size int64, payload []byte, sum uint32) (*store, error) {
	buffer := head.appendTo(nil)
	s := newStore(d.file, joinName(d.log.dir, storeName(head.base)), head, buffer)
	s.seldomSynced = d.seldomSynced
	s.allocated.Store(size)
	if payload != nil {
		buffer = s.layHead(buffer, kindRecord, payload, sum)
		buffer = append(buffer, payload[:min(len(payload), lateBytes-len(buffer))]...)
	}
	_, err := d.file.WriteAt(buffer, 0)
	if err == nil {
		err = d.file.Sync()
	}
	if err == nil {
		err = d.log.opts.FS.Rename(d.path, s.path)
	}
	if err != nil {
		return nil, d.drop(noSpaceOr(err))
	}
	if err := d.log.opts.FS.SyncDir(d.log.dir); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrFailed, err), d.file.Close())
	}
	s.written.set(s.end, s.count())
	s.durable.set(s.end, s.count())
	return s, nil
}

// drop gives the file up because of an error, or of nil. What can't be removed is found by the next open.
func (d *draft) drop(err error) error {
	return errors.Join(err, d.file.Close(), vfs.RemoveIfThere(d.log.opts.FS, d.path))
}
