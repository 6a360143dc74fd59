package wal

import (
	"errors"
	"fmt"
	"runtime"
)

// groupLimit is how many bytes a group may gather before those who hand in more have to wait for it to be written.
const groupLimit = 8 << 20

// group is a run of frames that one caller writes, and syncs, for all.
//
// Its life: forming (callers add frames to it), flying (its leader writes it), landed (it is as durable as the mode asks,
// and waits for its turn of Options.Landed), acknowledged. There is at most one of the first two each. All of it is guarded
// by Log.mu, except that its leader alone uses the buffer while it flies. A group that only its leader waited for is used
// again.
type group struct {
	buffer []byte // The frames, as they will stand in the store.
	start  int64  // Their position.
	first  uint64 // Offset of the first record, 0 while there is none.
	last   uint64 // Offset of the last record.
	force  bool   // Sync in every mode.

	lead chan struct{} // Gets a token when one of those who wait is to lead. nil while nobody waits.
	done chan struct{} // Closed when err is set. nil while nobody waits.
	err  error
}

// records returns how many records the group has; the others of its frames are marks.
func (g *group) records() uint64 {
	if g.first == 0 {
		return 0
	}
	return g.last - g.first + 1
}

// wait makes the channels for those who wait.
func (g *group) wait() {
	if g.done == nil {
		g.done, g.lead = make(chan struct{}), make(chan struct{}, 1)
	}
}

// end tells those who wait how it went.
func (g *group) end(err error) {
	g.err = err
	if g.done != nil {
		close(g.done)
	}
}

// Append adds one record to the end of the log and returns its offset once it is acknowledged, as Options.Sync says.
// The payload is copied. ErrTooLarge, ErrNoSpace, ErrClosed and ErrReadOnly mean that nothing was written; ErrFailed
// means that it isn't known whether the record is in the log before the log is opened again.
//
// Concurrent calls share writes and syncs.
func (l *Log) Append(payload []byte) (offset uint64, err error) {
	offset, _, err = l.Submit(payload)
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
		if _, _, err = l.submit(payload, payloadSum(payload)); err != nil {
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

// Submit hands over one record without waiting for the disk: it gets its offset, and in the default mode is written with
// whatever else is handed over until somebody waits. In the other modes the record is acknowledged when Submit returns.
// The payload is copied. Every Submit must be followed by a Wait for its offset or a later one, or by Sync. An error other
// than ErrFailed means that no offset was used.
//
// Records with the same group, which is the offset of the first of them, are acknowledged together: by one write and one
// sync, and one call of Options.Landed. In the relaxed modes each record is a group.
func (l *Log) Submit(payload []byte) (offset, group uint64, err error) {
	if len(payload) > l.opts.MaxRecordSize {
		return 0, 0, l.tooLarge(payload)
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
func (l *Log) submit(payload []byte, sum uint32) (offset, group uint64, err error) {
	size := frameSize(len(payload))
	if !l.hasRoom(size) {
		if err := l.makeRoom(size); err != nil {
			return 0, 0, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.groupSpace(size); err != nil {
		return 0, 0, err
	}
	if l.syncsSeldom() {
		offset, err = l.giveRecord(payload, sum)
		return offset, offset, err
	}
	segment := l.active
	store := segment.store
	g := l.formingAt(store.end)
	if store.sealed.Load() {
		l.unseal(g)
	}
	offset = store.next
	segment.index.put(uint32(offset-segment.base()), store.end)
	g.buffer = store.layOut(g.buffer, kindRecord, payload, sum)
	if g.first == 0 {
		g.first = offset
	}
	g.last = offset
	l.noteSubmitted(offset, len(payload))
	return offset, g.first, nil
}

// noteSubmitted counts a record that has its offset. l.mu is held.
func (l *Log) noteSubmitted(offset uint64, size int) {
	l.submitted, l.marked = offset, false
	l.stats.Appends++
	l.stats.AppendedBytes += uint64(size)
	l.stats.WrittenBytes += uint64(frameSize(size))
}

// groupSpace waits for the forming group to be written where it has grown too large to take more. l.mu is held, but not
// while it waits.
func (l *Log) groupSpace(size int64) error {
	return l.flushUntil(func() bool {
		held := int64(len(l.forming.buffer))
		return held == 0 || held+size <= groupLimit
	})
}

// flushUntil waits, leading where nothing leads, until groups are as a condition says, or the log is no longer usable. l.mu is
// held, but not while it waits. The caller may hold a lock that Options.Landed takes, so it waits for no acknowledgement.
func (l *Log) flushUntil(met func() bool) error {
	for {
		if err := l.usable(); err != nil || met() {
			return err
		}
		if l.leading || len(l.forming.buffer) == 0 {
			l.turns.Wait()
			continue
		}
		l.leading = true
		l.mu.Unlock()
		g, turn, err := l.flush()
		if err == nil && l.opts.Landed != nil {
			go l.acknowledge(g, turn)
		} else if err == nil {
			l.acknowledge(g, turn)
		}
		l.mu.Lock()
	}
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
	if l.acknowledged.Load() >= offset {
		return nil
	}
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

// waitFor waits until a group has landed, leading where nobody else does. l.mu is held, and released.
func (l *Log) waitFor(g *group) error {
	if l.failed != nil {
		defer l.mu.Unlock()
		return l.failed
	}
	if g == l.forming && !l.leading {
		l.leading = true
		l.mu.Unlock()
		return l.lead()
	}
	g.wait()
	l.mu.Unlock()
	select {
	case <-g.done:
		return g.err
	case <-g.lead:
		return l.lead()
	}
}

// lead brings the forming group to its end.
func (l *Log) lead() error {
	g, turn, err := l.flush()
	if err == nil {
		l.acknowledge(g, turn)
	}
	return err
}

// flush writes the forming group, and syncs it where the mode asks for that. Its caller leads. Nothing is written once the
// log has failed: it may have been opened again, and have given the place to other records.
func (l *Log) flush() (g *group, turn uint64, err error) {
	if l.crowded.Load() {
		// Yield once so that goroutines woken by the previous group can join this one. Otherwise the first would lead a
		// group of one, and every other sync would serve a single commit.
		runtime.Gosched()
	}
	l.mu.Lock()
	if l.failed != nil {
		defer l.mu.Unlock()
		return nil, 0, l.failed
	}
	g = l.forming
	store := l.active.store
	l.flying, l.forming = g, l.newGroup()
	l.crowded.Store(g.records() > 1)
	l.writers.Add(1)
	l.mu.Unlock()

	err = store.write(g.buffer, g.start)
	synced := err == nil && (g.force || l.opts.Sync == SyncAlways)
	if synced {
		err = l.timedSync(store, g.records())
	}
	l.writers.Done()
	turn, err = l.land(g, synced, err)
	return g, turn, err
}

// newGroup returns an empty group. l.mu is held.
func (l *Log) newGroup() *group {
	g := l.spare
	l.spare = nil
	if g == nil {
		return &group{}
	}
	*g = group{buffer: g.buffer[:0]}
	return g
}

// land notes that a group was written, hands the lead to the next one, and returns the group's turn to be acknowledged.
func (l *Log) land(g *group, synced bool, err error) (turn uint64, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.turns.Broadcast()
	l.stats.Writes++
	if err != nil {
		l.fail(err)
	}
	if l.failed != nil {
		return 0, l.failed // It has ended this group as well.
	}
	l.flying = nil
	if synced {
		l.stats.Syncs++
		l.durable.Store(max(g.last, l.durable.Load(), l.acknowledged.Load()))
	}
	l.landed++
	l.wakeBackground()
	if l.leading = l.forming.done != nil; l.leading {
		l.forming.lead <- struct{}{}
	}
	return l.landed - 1, nil
}

// acknowledge calls Options.Landed for the groups one at a time, in their order, and wakes the callers that wait for the
// group. The next group may be on its way to the disk meanwhile.
func (l *Log) acknowledge(g *group, turn uint64) {
	if g.first != 0 && l.opts.Landed != nil {
		l.mu.Lock()
		for l.shown != turn {
			l.turns.Wait()
		}
		l.mu.Unlock()
		l.opts.Landed(g.last)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.shown != turn {
		l.turns.Wait()
	}
	l.shown++
	l.turns.Broadcast()
	if g.first != 0 {
		l.acknowledged.Store(g.last)
	}
	g.end(nil)
	l.recycle(g)
	l.notify()
}

// awaitAcknowledged waits until every group that has landed is acknowledged.
func (l *Log) awaitAcknowledged() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.shown != l.landed {
		l.turns.Wait()
	}
}

// recycle keeps a group that has landed, or its buffer, for later. Those who waited for it still look at its error.
func (l *Log) recycle(g *group) {
	if cap(g.buffer) > groupLimit {
		g.buffer = nil
	}
	if g.done != nil {
		g = &group{buffer: g.buffer}
	}
	l.spare = g
}

// fail makes an error of a write or sync final, and tells everybody who waits. l.mu is held.
func (l *Log) fail(err error) {
	if l.failed != nil {
		return
	}
	l.failed = fmt.Errorf("%w; whether records that were being written are kept shows when it is opened again: %w", ErrFailed, err)
	l.opts.Logger.Error("log failed: it takes no more records until it is opened again", "dir", l.dir, "error", err)
	if l.flying != nil {
		l.flying.end(l.failed)
	}
	l.forming.end(l.failed)
	l.notify()
	l.turns.Broadcast()
}

// usable says why the log takes no records now, if it doesn't. l.mu is held.
func (l *Log) usable() error {
	if l.closed {
		return ErrClosed
	}
	return l.failed
}

// Sync makes every record durable that was handed over before the call, in every mode. Where that isn't part of an append
// anyway, appends go on meanwhile. In a log that is open for reading only, it does so for the records which that log has: the
// writer in the other process may not have synced them yet.
func (l *Log) Sync() error {
	if l.opts.ReadOnly {
		return l.syncRead()
	}
	if err := l.writable(); err != nil {
		return err
	}
	if l.syncsSeldom() {
		return l.syncAcknowledged()
	}
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	return l.settle()
}

// syncRead syncs the one file that a writer may not have synced.
func (l *Log) syncRead() error {
	segment, err := l.segmentOf(l.Last())
	if errors.Is(err, ErrTruncated) {
		return nil // There is no record.
	}
	if err != nil {
		return err
	}
	return errors.Join(segment.store.file.Sync(), segment.release())
}

// syncAcknowledged makes durable what was acknowledged.
func (l *Log) syncAcknowledged() error {
	if l.Durable() >= l.Last() {
		return nil
	}
	u, err := l.unsynced()
	if err != nil {
		return err
	}
	return errors.Join(l.syncRecords(u), u.segment.release())
}

// unsynced is what a sync apart from a group makes durable: the records up to an offset. Those that aren't in the segment
// were durable when it was made.
type unsynced struct {
	segment *segment
	last    uint64
	epoch   uint64 // Of the log then: once it has another one, the offset may be another record's.
}

// unsynced returns what a sync would make durable now. The segment is in use until it is released, so that it can be synced
// though the log rolls, and truncates it, in between.
func (l *Log) unsynced() (unsynced, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return unsynced{}, err
	}
	l.active.users.Add(1)
	return l.acknowledgedNow(), nil
}

// acknowledgedNow is what was acknowledged, for those under whose eyes the active segment stays in use. The submit lock or l.mu
// is held.
func (l *Log) acknowledgedNow() unsynced {
	return unsynced{segment: l.active, last: l.acknowledged.Load(), epoch: l.epoch.Load()}
}

// settle writes and syncs everything that was submitted. The submit lock is held, so nothing forms meanwhile.
func (l *Log) settle() error {
	if err := l.drain(); err != nil {
		return err
	}
	if store := l.active.store; store.durable.Load() < store.end {
		return l.syncRecords(l.acknowledgedNow())
	}
	l.publishDurable(l.acknowledged.Load(), l.epoch.Load()) // The sync that made space ahead of need was one of records too.
	return nil
}

// syncRecords syncs a segment that is in use.
func (l *Log) syncRecords(u unsynced) error {
	if err := l.timedSync(u.segment.store, max(u.last, l.Durable())-l.Durable()); err != nil {
		return l.failWith(err)
	}
	l.publishDurable(u.last, u.epoch)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Syncs++
	return nil
}

// publishDurable notes that records up to an offset of an epoch are durable.
func (l *Log) publishDurable(offset, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch == l.epoch.Load() && offset > l.durable.Load() {
		l.durable.Store(offset)
		l.notify()
	}
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
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushUntil(func() bool { return l.flying == nil && len(l.forming.buffer) == 0 })
}
