package wal

import (
	"errors"
	"fmt"
)

// groupLimit is how many bytes a group may gather before those who hand in more have to wait for it to be written.
const groupLimit = 8 << 20

// group is a run of frames that one caller writes, and syncs, for all.
//
// Its life: forming (callers add frames to it), flying (its leader writes it), done. There is at most one of the first
// two each; both are guarded by Log.mu.
type group struct {
	buffer []byte // The frames, as they will stand in the store.
	start  int64  // Their position.
	first  uint64 // Offset of the first record, 0 while there is none.
	last   uint64 // Offset of the last record.
	force  bool   // Sync in every mode.

	lead chan struct{} // Gets a token when one of those who wait is to lead.
	done chan struct{} // Closed when err is set.
	err  error
}

func newGroup(buffer []byte) *group {
	return &group{buffer: buffer[:0], lead: make(chan struct{}, 1), done: make(chan struct{})}
}

// Append adds one record to the end of the log and returns its offset once it is acknowledged, as Options.Sync says.
// The payload is copied. ErrTooLarge, ErrNoSpace, ErrClosed and ErrReadOnly mean that nothing was written; ErrFailed
// means that it isn't known whether the record is in the log before the log is opened again.
//
// Concurrent calls share writes and syncs.
func (l *Log) Append(payload []byte) (offset uint64, err error) {
	offset, err = l.Submit(payload)
	if err != nil {
		return 0, err
	}
	return offset, l.Wait(offset)
}

// AppendBatch adds records with consecutive offsets and returns the first one's, once the last is acknowledged. The
// batch is not one unit: a power cut may keep a part of it from the front. Where an error comes after some records were
// handed over, those are in the log or not as after Append.
func (l *Log) AppendBatch(payloads [][]byte) (first uint64, err error) {
	if len(payloads) == 0 {
		return 0, errors.New("wal: append of no records")
	}
	for _, payload := range payloads {
		if len(payload) > l.opts.MaxRecordSize {
			return 0, l.tooLarge(payload)
		}
	}
	if err := l.writable(); err != nil {
		return 0, err
	}
	l.submitMu.Lock()
	first = l.active.store.next
	for _, payload := range payloads {
		if _, err = l.submit(payload, payloadSum(payload)); err != nil {
			break
		}
	}
	last := l.active.store.next - 1
	l.submitMu.Unlock()
	if last < first {
		return 0, err
	}
	return first, errors.Join(err, l.Wait(last))
}

// Submit hands over one record without waiting: it gets its offset, and is written with whatever else is handed over
// until somebody waits. The payload is copied. Every Submit must be followed by a Wait for its offset or a later one,
// or by Sync. An error means that no offset was used.
func (l *Log) Submit(payload []byte) (offset uint64, err error) {
	if len(payload) > l.opts.MaxRecordSize {
		return 0, l.tooLarge(payload)
	}
	sum := payloadSum(payload)
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	return l.submit(payload, sum)
}

func (l *Log) tooLarge(payload []byte) error {
	return fmt.Errorf("append of %d bytes, at most %d: %w", len(payload), l.opts.MaxRecordSize, ErrTooLarge)
}

// submit lays a record out in the forming group. The submit lock is held.
func (l *Log) submit(payload []byte, sum uint32) (offset uint64, err error) {
	if err := l.makeRoom(frameSize(len(payload))); err != nil {
		return 0, err
	}
	segment := l.active
	if err := segment.index.makeRoom(segment.count() + 1); err != nil {
		return 0, l.sticky(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return 0, err
	}
	g := l.formingAt(segment.store.end)
	if segment.store.sealed.Load() {
		l.unseal(g)
	}
	offset = segment.store.next
	segment.index.put(uint32(offset-segment.base()), segment.store.end)
	g.buffer = segment.store.layOut(g.buffer, kindRecord, payload, sum)
	if g.first == 0 {
		g.first = offset
	}
	g.last = offset
	l.submitted, l.marked = offset, false
	l.stats.Appends++
	l.stats.AppendedBytes += uint64(len(payload))
	return offset, nil
}

// unseal begins a store that was closed again: a mark of the same size takes the seal's place. It says that everything
// in front of it was durable, as the seal did.
func (l *Log) unseal(g *group) {
	store := l.active.store
	g.buffer = store.layOutBounds(g.buffer, kindMark, l.first.Load(), store.next-1)
	store.sealed.Store(false)
}

// formingAt returns the group that a frame at this position of the active store belongs to. l.mu is held.
func (l *Log) formingAt(position int64) *group {
	if len(l.forming.buffer) == 0 {
		l.forming.start = position
	}
	return l.forming
}

// Wait waits until the record with this offset, which Submit returned, is acknowledged. Whoever waits while nobody
// writes, writes for all. An error wraps ErrFailed: whether the record is in the log isn't known before the log is
// opened again.
func (l *Log) Wait(offset uint64) error {
	l.mu.Lock()
	switch {
	case l.acknowledged.Load() >= offset:
		l.mu.Unlock()
		return nil
	case offset > l.submitted:
		defer l.mu.Unlock()
		return fmt.Errorf("wait for offset %d, the last submitted is %d: %w", offset, l.submitted, ErrOutOfRange)
	}
	g := l.forming
	if l.flying != nil && l.flying.first != 0 && offset <= l.flying.last {
		g = l.flying
	}
	return l.waitFor(g)
}

// waitFor waits until a group is done, leading where nobody else does. l.mu is held, and released.
func (l *Log) waitFor(g *group) error {
	if l.failed != nil {
		err := l.failed
		l.mu.Unlock()
		return err
	}
	if g == l.forming && !l.leading {
		l.leading = true
		l.mu.Unlock()
		l.flush()
		return g.err
	}
	l.mu.Unlock()
	select {
	case <-g.done:
	case <-g.lead:
		l.flush()
	}
	return g.err
}

// flush writes the forming group, and syncs it where the mode asks for that. Its caller leads.
func (l *Log) flush() {
	l.mu.Lock()
	g, store := l.forming, l.active.store
	l.flying, l.forming = g, newGroup(l.spare)
	l.spare = nil
	l.mu.Unlock()

	err := store.write(g.buffer, g.start)
	synced := err == nil && (g.force || l.opts.Sync == SyncAlways)
	if synced {
		err = store.sync()
	}
	l.land(g, synced, err)
}

// land publishes the outcome of a group, and hands the lead to the next one.
func (l *Log) land(g *group, synced bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Writes++
	if err != nil {
		l.fail(err)
		return
	}
	l.flying = nil
	if g.first != 0 {
		l.acknowledged.Store(g.last)
	}
	if synced {
		l.stats.Syncs++
		l.durable.Store(l.acknowledged.Load())
	}
	if cap(g.buffer) <= groupLimit {
		l.spare = g.buffer
	}
	close(g.done)
	l.notify()
	l.wakeGrower()
	if len(l.forming.buffer) == 0 {
		l.leading = false
		return
	}
	l.forming.lead <- struct{}{}
}

// fail makes an error of a write or sync final, and tells everybody who waits. l.mu is held.
func (l *Log) fail(err error) {
	if l.failed == nil {
		l.failed = fmt.Errorf("%w; whether records that were being written are kept shows when it is opened again: %w", ErrFailed, err)
		l.opts.Logger.Error("log failed: it takes no more records until it is opened again", "dir", l.dir, "error", err)
	}
	for _, g := range []*group{l.flying, l.forming} {
		if g != nil && g.err == nil {
			g.err = l.failed
			close(g.done)
		}
	}
	l.notify()
}

// usable says why the log takes no records now, if it doesn't. l.mu is held.
func (l *Log) usable() error {
	if l.closed {
		return ErrClosed
	}
	return l.failed
}

// Sync makes every record durable that was handed over before the call, in every mode.
func (l *Log) Sync() error {
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	return l.settle()
}

// settle writes and syncs everything that was submitted. The submit lock is held, so nothing forms meanwhile.
func (l *Log) settle() error {
	if err := l.drain(); err != nil {
		return err
	}
	store := l.active.store
	if store.durable.Load() >= store.end {
		return nil
	}
	return l.syncStore()
}

// syncStore syncs the active store apart from a group.
func (l *Log) syncStore() error {
	written := l.acknowledged.Load()
	store := l.activeStore()
	if err := store.sync(); err != nil {
		return l.failWith(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Syncs++
	if written > l.durable.Load() {
		l.durable.Store(written)
		l.notify()
	}
	return nil
}

// failWith is fail for those who don't hold l.mu; it returns what the log's error now is.
func (l *Log) failWith(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail(err)
	return l.failed
}

// drain waits until no group is forming or flying. The submit lock is held.
func (l *Log) drain() error {
	for {
		l.mu.Lock()
		g := l.flying
		if g == nil && len(l.forming.buffer) == 0 {
			err := l.failed
			l.mu.Unlock()
			return err
		}
		if g == nil {
			g = l.forming
		}
		if err := l.waitFor(g); err != nil {
			return err
		}
	}
}
