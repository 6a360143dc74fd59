package wal

import (
	"fmt"
)

// Prepared is a large record that is on the disk before it has an offset: the first one of a segment that isn't part of the log yet.
// To give it an offset then takes hardly longer than a roll.
type Prepared struct {
	draft  *draft
	size   int64 // What is allocated of the file.
	length int
}

// Prepare writes a record to the disk that SubmitPrepared will add to the log. Other appends go on. After an error, which may wrap
// ErrTooLarge, ErrNoSpace, ErrClosed, ErrReadOnly or ErrFailed, nothing is left of it.
func (l *Log) Prepare(payload []byte) (*Prepared, error) {
	if len(payload) > l.opts.MaxRecordSize {
		return nil, l.tooLarge(payload)
	}
	if err := l.writable(); err != nil {
		return nil, err
	}
	d, err := l.newDraft(newSalt()) // No store has such a base.
	if err != nil {
		return nil, fmt.Errorf("prepare a record of %d bytes: %w", len(payload), err)
	}
	size, err := d.writeFirst(payload)
	if err != nil {
		return nil, d.drop(fmt.Errorf("prepare a record of %d bytes: %w", len(payload), noSpaceOr(err)))
	}
	return &Prepared{draft: d, size: size, length: len(payload)}, nil
}

// prepareStep is how much of a prepared record one sync is for: the syncs of appends wait for it.
const prepareStep = 1 << 20

// writeFirst writes what finish will not, and makes space for what has to follow.
func (d *draft) writeFirst(payload []byte) (size int64, err error) {
	const before = headSize + frameHeadSize
	for at := lateBytes; at < before+len(payload); at += prepareStep {
		part := payload[at-before : min(at-before+prepareStep, len(payload))]
		if _, err := d.file.WriteAt(part, int64(at)); err != nil {
			return 0, err
		}
		if err := d.file.Sync(); err != nil {
			return 0, err
		}
	}
	size = headSize + frameSize(len(payload)) + max(2*reserveSize, d.log.firstSize())
	return d.makeSpace(size, size)
}

// Discard gives a record up that isn't submitted. After SubmitPrepared it does nothing.
func (p *Prepared) Discard() {
	if d := p.draft; d != nil {
		p.draft = nil
		_ = d.drop(nil) // What can't be removed is found by the next open.
	}
}

// SubmitPrepared is Submit of a record that was prepared. The payload is the one that Prepare was given; its first 3 KiB may have
// changed since. Where p is nil, or the length is another one, or the active segment has no record yet, it is Submit.
func (l *Log) SubmitPrepared(p *Prepared, payload []byte) (offset, group uint64, err error) {
	if p == nil || p.draft == nil || len(payload) != p.length {
		return l.Submit(payload)
	}
	sum := payloadSum(payload)
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if s := l.segments.active().store; l.ended || s.next == s.head.base {
		return l.submitAlone(payload, sum)
	}
	d := p.draft
	p.draft = nil // It becomes the log's, or is dropped.
	err = l.roll(func(head storeHead) (*store, error) {
		offset = head.base
		return d.finish(head, p.size, payload, sum)
	})
	if err != nil {
		return offset, 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return offset, 0, err
	}
	// The record is durable. A mark after it proves that, and is what its group writes.
	active := l.segments.active()
	active.index.Load().add(headSize, active.store.headChain)
	if err := l.layMark(active.store); err != nil {
		return offset, 0, err
	}
	l.forming.first, l.forming.last = offset, offset
	return offset, l.note(offset, payload), nil
}
