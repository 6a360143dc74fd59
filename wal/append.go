package wal

import (
	"errors"
	"fmt"
	"syscall"
)

// Append adds one record to the end of the log and returns its offset once it is acknowledged, as Options.Sync says. The payload is
// copied. ErrTooLarge, ErrNoSpace, ErrClosed and ErrReadOnly mean that nothing was written; after ErrFailed the next Open shows
// whether the record is in the log. Concurrent calls share writes and syncs.
func (l *Log) Append(payload []byte) (offset uint64, err error) {
	if offset, _, err = l.Submit(payload); err != nil {
		return 0, err
	}
	return offset, l.Wait(offset)
}

// AppendBatch adds records with consecutive offsets and returns the first one's, once the last is acknowledged. A batch is refused as
// a whole, with the errors of Append, also if it takes more than 1 GiB. A power cut, or ErrFailed, may keep a part from its front.
func (l *Log) AppendBatch(payloads [][]byte) (first uint64, err error) {
	if len(payloads) == 0 {
		return 0, errors.New("wal: append of no records")
	}
	size := int64(0)
	for _, payload := range payloads {
		if len(payload) > l.opts.MaxRecordSize {
			return 0, l.tooLarge(payload)
		}
		size += frameSize(len(payload))
	}
	if size > MaxSegmentSize && len(payloads) > 1 { // They stand in one segment.
		return 0, fmt.Errorf("append of %d records that take %d bytes, at most %d: %w", len(payloads), size, MaxSegmentSize, ErrTooLarge)
	}
	first, last, err := l.submitBatch(payloads, size)
	if err != nil {
		return 0, err
	}
	return first, l.Wait(last)
}

func (l *Log) submitBatch(payloads [][]byte, size int64) (first, last uint64, err error) {
	var few [64]uint32
	sums := few[:0]
	for _, payload := range payloads {
		sums = append(sums, payloadSum(payload))
	}
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	if err := l.makeRoom(size); err != nil {
		return 0, 0, err
	}
	for i, payload := range payloads {
		if last, _, err = l.submit(payload, sums[i]); err != nil {
			return 0, 0, err
		}
		if i == 0 {
			first = last
		}
	}
	return first, last, nil
}

// Submit hands over one record without waiting for the disk: it gets its offset, and in the default mode is written with whatever
// else is handed over until a caller waits. In the other modes it is acknowledged when Submit returns. The payload is copied. Every
// Submit must be followed by a Wait for its offset or a later one, or by Sync. With an error the offset is 0 and the record isn't
// in the log, unless it was being written when the log failed: then the error is ErrFailed, the offset is what it would have had,
// and the next Open shows whether it is there.
//
// Records with the same group, which is the offset of the first of them, are acknowledged together: by one write, one sync and one
// call of Options.Landed. In the relaxed modes each record is a group.
func (l *Log) Submit(payload []byte) (offset, group uint64, err error) {
	if len(payload) > l.opts.MaxRecordSize {
		return 0, 0, l.tooLarge(payload)
	}
	sum := payloadSum(payload)
	l.submitMu.Lock()
	defer l.submitMu.Unlock()
	return l.submitAlone(payload, sum)
}

// submitAlone is submit of a record for which there may be no room yet. The submit lock is held.
func (l *Log) submitAlone(payload []byte, sum uint32) (offset, group uint64, err error) {
	if err := l.makeRoom(frameSize(len(payload))); err != nil {
		return 0, 0, err
	}
	return l.submit(payload, sum)
}

func (l *Log) tooLarge(payload []byte) error {
	return fmt.Errorf("append of %d bytes, at most %d: %w", len(payload), l.opts.MaxRecordSize, ErrTooLarge)
}

// submit lays out a record for which there is room. The submit lock is held.
func (l *Log) submit(payload []byte, sum uint32) (offset, group uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.makeGroupRoom(frameSize(len(payload))); err != nil {
		return 0, 0, err
	}
	active := l.segments.active()
	s := active.store
	if s.sealed.Load() {
		// A mark of the same size takes the seal's place. It says that everything before it was durable, as the seal did.
		if err := l.layMark(s); err != nil {
			return 0, 0, err
		}
	}
	offset = s.next
	active.index.Load().add(s.end, s.chain)
	if err := l.lay(s, kindRecord, payload, sum); err != nil {
		return offset, 0, err
	}
	return offset, l.note(offset, payload), nil
}

// note notes a record that was laid out, and returns its group. The submit lock and mu are held.
func (l *Log) note(offset uint64, payload []byte) (group uint64) {
	l.submitted = offset
	l.stats.Appends++
	l.stats.AppendedBytes += uint64(len(payload))
	l.stats.WrittenBytes += uint64(frameSize(len(payload)))
	if !l.syncsSeldom() {
		return l.forming.first
	}
	l.acknowledged.Store(offset)
	l.notify()
	l.wakeBackground()
	return offset
}

// lay lays out a frame at the active store's end: in the forming group, or, in the modes that sync seldom, with the kernel. The
// submit lock and mu are held.
func (l *Log) lay(s *store, kind frameKind, payload []byte, sum uint32) error {
	if !l.syncsSeldom() {
		l.forming.add(s, kind, payload, sum)
		return nil
	}
	if err := s.give(kind, payload, sum); err != nil {
		l.fail(err)
		return l.failed
	}
	return nil
}

// layMark is lay of a mark.
func (l *Log) layMark(s *store) error {
	payload := bounds{first: l.First(), chain: s.chain}.encode()
	s.sealed.Store(false)
	return l.lay(s, kindMark, payload[:], payloadSum(payload[:]))
}

// mark lays out a mark, which says what the log holds and proves what came before it durable. The function that it returns waits
// until the mark is durable, without the submit lock.
func (l *Log) mark() (durable func() error, err error) {
	if err := l.writable(); err != nil {
		return nil, err
	}
	active := l.segments.active()
	if err := l.makeSpace(active.store, 2*boundsFrameSize); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	if err := l.layMark(active.store); err != nil {
		return nil, err
	}
	if l.syncsSeldom() {
		active.users.Add(1)
		return func() error { return errors.Join(l.syncSegment(active), active.release()) }, nil
	}
	g := l.forming
	g.wait() // So that it isn't used again before it was looked at.
	return func() error {
		l.mu.Lock()
		return l.waitFor(g)
	}, nil
}

// Sync makes every record durable that was handed over before the call, in every mode; in the relaxed modes appends go on meanwhile.
// In a log that is open for reading only these are the ones it has, which the writer may not have synced yet. Where the file system is
// read-only nothing can be synced, and that is no error.
func (l *Log) Sync() error {
	if l.opts.Follow {
		return nil // It shows nothing else.
	}
	if l.opts.ReadOnly {
		return l.syncRead()
	}
	if l.syncsSeldom() {
		return l.syncAcknowledged()
	}
	l.submitMu.Lock()
	err := l.settle()
	l.submitMu.Unlock()
	if err == nil {
		l.awaitShown()
	}
	return err
}

// syncRead syncs the one file that a writer may not have synced. Where the file system can't sync, such as an image that is only read,
// all is as durable as it gets. One that the system has made read-only after an error of the disk writes nothing any more, so what
// nothing proves durable may be gone once it is mounted again. It must be readable all the same: what is acknowledged is there.
func (l *Log) syncRead() error {
	last := l.Last()
	g, err := l.segments.use(last, l.Last)
	switch {
	case errors.Is(err, ErrTruncated): // There is no record.
		return nil
	case err != nil:
		return err
	}
	err = g.store.file.Sync()
	if err == nil && last == g.base() {
		err = l.opts.FS.SyncDir(l.dir) // The record may be a prepared one, in a file whose name isn't durable yet.
	}
	err = errors.Join(err, g.release())
	switch {
	case errors.Is(err, syscall.EROFS):
		l.opts.Logger.Warn("file system is read-only: a power cut may take the last records", "path", g.store.path, "error", err)
		return nil
	case err == nil, errors.Is(err, syscall.EINVAL):
		l.proven.Store(last)
		return nil
	}
	return err
}

// syncAcknowledged makes durable what was acknowledged. It holds no lock that appends need.
func (l *Log) syncAcknowledged() error {
	if l.Durable() >= l.Last() {
		return l.writable()
	}
	g, err := l.useActive()
	if err != nil {
		return err
	}
	return errors.Join(l.syncSegment(g), g.release())
}

// useActive returns the active segment, for use until it is released.
func (l *Log) useActive() (*segment, error) {
	if err := l.writable(); err != nil {
		return nil, err
	}
	l.segments.mu.RLock()
	defer l.segments.mu.RUnlock()
	if l.segments.closed {
		return nil, ErrClosed
	}
	g := l.segments.active()
	g.users.Add(1)
	return g, nil
}

// syncSegment syncs a segment that is in use.
func (l *Log) syncSegment(g *segment) error {
	s := g.store
	records := s.written.records() - min(s.written.records(), s.durable.records())
	if err := l.meter.timedSync(s, records); err != nil {
		return l.failWith(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Syncs++
	return nil
}

// settle writes and syncs everything that was submitted. The submit lock is held, so nothing forms meanwhile.
func (l *Log) settle() error {
	if err := l.drain(); err != nil {
		return err
	}
	active := l.segments.active()
	if s := active.store; s.durable.position() < s.end && !s.sealed.Load() {
		return l.syncSegment(active)
	}
	return nil
}
