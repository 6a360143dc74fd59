package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// How often a log that follows its writer looks for more, and what it does when there is none.
const (
	lookMin   = time.Millisecond // Between two looks while records come in.
	lookMax   = 16 * time.Millisecond
	lookSteps = 8 // So many looks in vain double the time between looks.

	// proofWait is how long frames wait for a later frame to prove them durable before the tracker syncs them. The sync takes no more
	// than half of the disk's time: the next one waits for as long as this one took.
	proofWait = 5 * time.Millisecond
	// placeEvery is how often, while no frames come, the tracker checks that the directory still has its file, and no later one.
	placeEvery = 200 * time.Millisecond
	// endMin and endMax are how long, while no frames come, the tracker waits before it looks for proof that the end is damaged. Each
	// wait is twice the one before, since a look reads the file up to its end.
	endMin = 100 * time.Millisecond
	endMax = time.Minute
	// lookTries is how often in a row a look may fail with an error that may pass, such as too many open files.
	lookTries = 5
)

// tracker keeps a log that is open for reading up with its live writer in another process. Its goroutine alone changes the log.
//
// The invariant is that what the log shows is durable, and is never taken back: records are acknowledged once they are proven durable
// and were read after that. Frames that were read before their proof may still change, where a writer dies and another one mends what
// it left. So they are read ahead only to find the proof, which is the watermark of a later frame, or a sync by the tracker.
type tracker struct {
	log *Log

	ahead *scanner  // Reads frames that may lack proof; nil where it is to start from the store's end.
	proof int64     // Frames before this position in the active store are proven durable.
	stop  error     // Why ahead has come no further; nil where a seal stands there.
	seal  frameKind // That seal.
	size  int64     // The file's, when ahead came there.

	waiting  time.Time     // Since when frames wait for proof; zero where none do.
	syncTook time.Duration // How long the tracker's last sync took.
	moved    time.Time     // When a frame was last read or acknowledged.
	placeAt  time.Time     // When the directory is to be checked.
	endAt    time.Time     // When the end is to be checked,
	endWait  time.Duration // and after how long again.
	suspect  int64         // Where the end was damaged at the last look, 0 where it wasn't.
	idle     int           // Looks in vain since something moved.
}

func newTracker(l *Log) *tracker {
	t := &tracker{log: l}
	t.movedAt(time.Now())
	return t
}

// run looks for more until the log is closed, or there won't be any more.
func (t *tracker) run() {
	timer := time.NewTimer(lookMin)
	defer timer.Stop()
	for tries := 0; ; {
		select {
		case <-t.log.stop:
			return
		case <-timer.C:
		}
		wait := min(lookMax, lookMin<<(t.idle/lookSteps))
		switch err := t.look(time.Now()); {
		case err == nil:
			tries = 0
		case mayPass(err) && tries < lookTries:
			tries++
			wait = lookMax << tries
		default:
			t.log.endFollowing(err)
			return
		}
		timer.Reset(wait)
	}
}

// mayPass reports whether a look that failed is worth another one. A sync that failed is never tried again (P6).
func mayPass(err error) bool {
	final := slices.ContainsFunc([]error{ErrCorrupt, ErrVersion, ErrDiverged, ErrFailed}, func(f error) bool { return errors.Is(err, f) })
	var wanted *lookedError
	return !final && !errors.As(err, &wanted)
}

// lookedError is an error of Options.Looked.
type lookedError struct{ error }

func (e *lookedError) Unwrap() error { return e.error }

// endFollowing notes why there won't be more, once.
func (l *Log) endFollowing(err error) {
	var wanted *lookedError
	if errors.As(err, &wanted) {
		err = wanted.error // It is known where it comes from.
	} else {
		err = fmt.Errorf("follow log %s: %w", l.dir, err)
		l.opts.Logger.Error("log is no longer followed: it stays as it is", "dir", l.dir, "last", l.Last(), "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = err
	l.notify()
}

// look takes in what the writer has added.
func (t *tracker) look(now time.Time) error {
	for more := true; more; {
		var err error
		if more, err = t.advance(now); err != nil {
			return err
		}
	}
	if t.idle++; !t.waiting.IsZero() {
		t.idle = 0
	}
	if err := t.checkQuiet(now); err != nil {
		return err
	}
	if looked := t.log.opts.Looked; looked != nil {
		last := t.log.Last()
		if t.ahead != nil {
			last = t.ahead.next - 1
		}
		if err := looked(last, now); err != nil {
			return &lookedError{err}
		}
	}
	return nil
}

func (t *tracker) movedAt(now time.Time) {
	t.moved, t.idle, t.suspect = now, 0, 0
	t.placeAt, t.endAt, t.endWait = now.Add(placeEvery), now.Add(endMin), endMin
}

// advance takes in what there is in the active segment, and reports whether another segment follows.
func (t *tracker) advance(now time.Time) (more bool, err error) {
	s := t.log.segments.activeStore.Load()
	if err := t.readAhead(s, now); err != nil {
		return false, err
	}
	if t.proof > s.end {
		if err := t.accept(s, t.proof, nil, now); err != nil || t.ahead == nil {
			return false, err
		}
	}
	switch {
	case t.ahead.position == s.end:
		t.waiting = time.Time{}
	case now.Sub(t.waiting) >= max(proofWait, t.syncTook):
		if err := t.prove(s, now); err != nil || t.ahead == nil {
			return false, err
		}
	}
	if t.seal == kindRolled && t.ahead.position == s.end {
		err := t.enter(s, now)
		return t.log.segments.activeStore.Load() != s, err
	}
	return false, nil
}

// readAhead reads frames up to the first that doesn't check out, or a seal.
func (t *tracker) readAhead(s *store, now time.Time) (err error) {
	if t.ahead == nil {
		t.ahead, t.proof = s.from(s.end, s.next, s.chain), s.end
	}
	sc := t.ahead
	if t.size, err = s.file.Size(); err != nil {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	sc.limit, sc.window = t.size, nil // So that the file is read again.
	started := sc.position
	if t.seal, t.stop = 0, s.peek(sc.position); t.stop != nil && !isScanStop(t.stop) {
		return t.stop
	}
	for t.stop == nil && t.seal == 0 {
		f, err := sc.frame()
		if err != nil && !isScanStop(err) {
			return fmt.Errorf("read %s at position %d: %w", s.path, sc.position, err)
		}
		if t.stop = err; err == nil {
			t.proof = max(t.proof, f.watermark(f.position))
			if f.kind.isSeal() {
				t.seal, sc.position = f.kind, f.position
			}
		}
	}
	if sc.position > started {
		t.movedAt(now)
		if t.waiting.IsZero() {
			t.waiting = now
		}
	}
	return nil
}

// accept acknowledges the frames up to a position, which are proven durable. If a chain is given, theirs must be that one. Where they have
// changed since they were read ahead, nothing happens but that the next look reads them again.
func (t *tracker) accept(s *store, upTo int64, chain *uint32, now time.Time) error {
	run, err := s.stretch(upTo)
	if err != nil && !isScanStop(err) {
		return fmt.Errorf("read %s at position %d: %w", s.path, run.at.position, err)
	}
	if err != nil || chain != nil && run.at.chain != *chain {
		t.ahead = nil
		return nil
	}
	t.movedAt(now)
	t.waiting = now // The rest was read just now.
	active := t.log.segments.list[len(t.log.segments.list)-1]
	for _, record := range run.records {
		active.index.Load().add(record.position, record.chain)
	}
	s.cutAt(run.at.position, run.at.next, run.at.chain)
	t.log.acknowledgeRead(run.at.next - 1)
	if run.first > t.log.First() {
		return t.log.beginAt(run.first)
	}
	return nil
}

// acknowledgeRead shows records up to an offset, which are durable.
func (l *Log) acknowledgeRead(last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proven.Store(last)
	l.submitted = last
	l.acknowledged.Store(last)
	l.notify()
}

// beginAt lets the segments go that the writer has truncated from the front.
func (l *Log) beginAt(first uint64) error {
	l.segments.first.Store(first)
	return each(l.segments.dropFront(l.segments.holder(first)), (*segment).release)
}

// prove makes the frames that were read ahead durable, by a sync of the writer's file, which changes no byte.
func (t *tracker) prove(s *store, now time.Time) error {
	upTo, chain := t.ahead.position, t.ahead.chain
	started := time.Now()
	if err := failedSync(s.sync()); err != nil {
		return err
	}
	t.syncTook = time.Since(started)
	return t.accept(s, upTo, &chain, now)
}

// failedSync returns the error of a sync that a tracker needs. A file system that can't sync is as durable as it gets.
func failedSync(err error) error {
	if err == nil || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

// enter goes on in the segment that follows, which has its name, durably, since before the seal was written. Where it isn't there, the
// writer has truncated it already, or the directory is no longer the log's.
func (t *tracker) enter(s *store, now time.Time) error {
	l := t.log
	t.ahead, t.waiting = nil, time.Time{}
	next, err := openStore(l.opts.FS, filepath.Join(l.dir, storeName(s.next)), true)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrCorrupt) {
		return t.surveyAgain(now)
	}
	if err != nil {
		return err
	}
	if !follows(next.head, s) {
		return errors.Join(next.file.Close(), t.surveyAgain(now))
	}
	s.sealed.Store(true)
	l.segments.add(l.newSegment(next, &index{anchored: true}))
	t.movedAt(now)
	return nil
}

// follows reports whether a segment with that header was made to follow a store at its end.
func follows(head storeHead, s *store) bool {
	return head.id == s.head.id && head.base == s.next && head.prevSalt == s.head.salt && head.prevEnd == s.end && head.prevChain == s.chain
}

// checkQuiet looks for a reason where no frames come.
func (t *tracker) checkQuiet(now time.Time) error {
	s := t.log.segments.activeStore.Load()
	if now.After(t.placeAt) {
		ok, err := t.isInPlace(s)
		if err == nil && !ok {
			err = t.surveyAgain(now)
		}
		if err != nil {
			return err // The next look checks again.
		}
		t.placeAt = now.Add(placeEvery)
	}
	if now.Before(t.endAt) || t.ahead == nil || t.seal == kindRolled {
		return nil
	}
	damage, err := t.judgeEnd(s)
	switch {
	case err != nil:
		return err
	case damage == nil:
		t.suspect = 0
		t.endAt, t.endWait = now.Add(t.endWait), min(2*t.endWait, endMax)
	case t.suspect != t.ahead.position: // The next look reads the frame there again, after its proof.
		t.suspect, t.ahead = t.ahead.position, nil
	default:
		t.endAt = now.Add(t.endWait)
		return t.surveyAgain(now)
	}
	return nil
}

// judgeEnd says whether what ends the frames is damage.
func (t *tracker) judgeEnd(s *store) (damage, err error) {
	sc := s.from(t.ahead.position, t.ahead.next, t.ahead.chain)
	sc.limit = t.size
	r := reading{size: t.size, end: sc.position, next: sc.next, stop: t.stop, seal: t.seal}
	if r.proof, r.written, err = sc.evidence(); err != nil {
		return nil, fmt.Errorf("read %s after position %d: %w", s.path, sc.position, err)
	}
	return s.judgeEnd(&r, indexHead{}), nil
}

// isInPlace reports whether the active store is still the newest one in the directory.
func (t *tracker) isInPlace(s *store) (bool, error) {
	v := &survey{dir: t.log.dir, opts: t.log.opts}
	if err := v.list(); err != nil {
		return false, err
	}
	if len(v.bases) == 0 || slices.Max(v.bases) != s.head.base {
		return false, nil
	}
	there, err := v.openStore(s.head.base)
	if err != nil {
		return false, nil // A survey says why.
	}
	if err := there.file.Close(); err != nil || there.head.salt != s.head.salt {
		return false, err
	}
	return s.file.HasName(there.path)
}

// surveyAgain looks at the whole directory, since what is in it isn't what was there.
func (t *tracker) surveyAgain(now time.Time) error {
	v, err := surveyLive(t.log.dir, t.log.opts)
	if err == nil && len(v.stores) == 0 {
		err = fmt.Errorf("no segment in %s: %w", t.log.dir, fs.ErrNotExist)
	}
	if err == nil {
		err = t.takeOver(v, now)
	}
	return errors.Join(err, v.close())
}

// takeOver goes on with what a survey found, where it continues what was shown.
func (t *tracker) takeOver(v *survey, now time.Time) error {
	l := t.log
	s := l.segments.activeStore.Load()
	last := v.stores[len(v.stores)-1]
	there, isCopy, err := v.counterpart(s)
	if err == nil && isCopy { // What was shown must be durable in the copy as well.
		err = each(v.stores, func(one *store) error { return failedSync(one.sync()) })
	}
	if err == nil {
		err = continues(v, s)
	}
	if err != nil || there == last && !isCopy {
		return err
	}
	// A roll that died may have left a name that isn't durable.
	if err := failedSync(l.opts.FS.SyncDir(l.dir)); err != nil {
		return err
	}
	positions := &index{anchored: true}
	if last.cutAt(headSize, last.head.base, last.headChain); there == last {
		last.cutAt(s.end, s.next, s.chain)
		positions = l.segments.list[len(l.segments.list)-1].index.Load()
	}
	var list []*segment
	for _, one := range v.stores {
		x, err := positions, error(nil)
		if one != last {
			if x, err = loadIndex(l.opts.FS, one); err != nil {
				x, err = one.indexAgain()
			}
		}
		if err != nil {
			return err
		}
		list = append(list, l.newSegment(one, x))
	}
	v.found = slices.DeleteFunc(v.found, func(one *store) bool { return slices.Contains(v.stores, one) })
	l.segments.first.Store(v.tail.first)
	removed := l.segments.take(list)
	l.acknowledgeRead(max(l.Last(), last.head.base-1))
	t.ahead, t.waiting = nil, time.Time{}
	t.movedAt(now)
	return each(removed, (*segment).release)
}

// counterpart returns the surveyed store with a store's salt, nil where there is none, and whether that is in another file: a copy has taken
// the log's place.
func (v *survey) counterpart(s *store) (there *store, isCopy bool, err error) {
	for _, one := range v.stores {
		if one.head.salt == s.head.salt {
			isSame, err := s.file.HasName(one.path)
			return one, !isSame, err
		}
	}
	return nil, false, nil
}

// continues returns ErrDiverged where a surveyed log hasn't, up to its last record, what a store has been read of. Where all of that has been
// truncated from the front, only the log's identity says so.
func continues(v *survey, s *store) error {
	first := v.stores[0]
	if first.head.id != s.head.id {
		return fmt.Errorf("%w: %s is of log %x, not %x", ErrDiverged, first.path, first.head.id, s.head.id)
	}
	for _, one := range v.stores {
		if one.head.salt == s.head.salt {
			run, err := one.from(headSize, one.head.base, one.headChain), error(nil)
			run.limit = min(s.end, one.end)
			for err == nil && run.position < run.limit {
				_, err = run.frame()
			}
			if err != nil && !isScanStop(err) {
				return fmt.Errorf("read %s at position %d: %w", one.path, run.position, err)
			}
			if err != nil || run.position != s.end || run.next != s.next || run.chain != s.chain {
				return fmt.Errorf("%w: %s ended at position %d with offset %d, and now differs from position %d on",
					ErrDiverged, one.path, s.end, s.next-1, run.position)
			}
			return nil
		}
		isSuccessor := follows(one.head, s)
		isReplacement := s.end == headSize && one.head.base == s.head.base && one.head.prevSalt == s.head.prevSalt &&
			one.head.prevEnd == s.head.prevEnd && one.head.prevChain == s.head.prevChain && s.head.prevSalt != 0
		// It may follow the store after marks that were not read: its base says that no record stands between.
		hasMarksBefore := one.head.base == s.next && one.head.prevSalt == s.head.salt && one.head.prevEnd > s.end
		if isSuccessor || isReplacement || hasMarksBefore {
			return nil
		}
	}
	if first.head.base > s.next && first.head.generation == s.head.generation {
		return nil
	}
	return fmt.Errorf("%w: nothing in %s continues %s, of which %d records were read", ErrDiverged, v.dir, s.path, s.next-s.head.base)
}
