package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// Pair is a key with its value. The bytes are read-only and stay valid.
type Pair struct {
	Key, Value []byte
	Deadline   time.Time // The instant from which on the pair is invisible; the zero time is never.
}

// DiskView shows a store as of the moment at which it was opened, from the store's files: of the newest snapshot it reads the blocks
// that a range needs, and of the log after that every record, of which it keeps what is about the range. So a few pairs of a
// large store take little time and memory, which is what a tool wants; a program that reads often opens a DB instead. It works beside
// a live writer, takes no lock and changes no byte. It is for one goroutine at a time.
//
// It shows what a store that is opened with Options.ReadOnly shows, and refuses what that refuses, with one exception: damage to a
// block of the snapshot goes unnoticed by reads that don't need the block.
//
// Invariants: the log ends with the same commit for as long as the view is open, and its files stay open, whatever a writer removes. The
// log goes on where the base ends. So the view shows the same state whichever snapshot is its base, and may change that between two pairs.
type DiskView struct {
	dir       string
	opts      Options
	clock     *clock
	log       *wal.Log
	last      uint64 // The last record that it shows.
	snapshots *inventory
	over      error // Why there are no more reads; nil where there are.
	most      int64 // What the first overlay of a scan with a limit may take, in bytes.

	base     *snapshot.File    // nil where everything is in the log.
	untried  []snapshot.Place  // Older than base, newest first.
	skipped  []SkippedSnapshot // Newer than base.
	logBytes int64             // Of the records after base, once they have been read.
}

// OpenDiskView opens a view of the store in a directory. It reads the log's last segment, but no other record, and no pair. Of opts,
// Logger, Progress and Clock count; Progress is called while the log is read. Errors are those of Open.
func OpenDiskView(ctx context.Context, dir string, opts Options) (*DiskView, error) {
	opts.ReadOnly, opts.Follow = true, false
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	v := &DiskView{dir: dir, opts: opts, clock: newClock(opts.Clock), snapshots: newInventory(dir, opts), most: overlayFirst}
	if err = ctx.Err(); err == nil {
		err = checkDir(dir, opts)
	}
	if err == nil {
		err = v.snapshots.whileSteady(v.open)
	}
	if err != nil {
		err = errors.Join(err, v.release())
		opts.Logger.Error("store not opened", "dir", dir, "error", err)
		return nil, fmt.Errorf("kv: open %s: %w", dir, err)
	}
	return v, nil
}

// open opens the log and a snapshot, perhaps again.
func (v *DiskView) open() error {
	if err := v.release(); err != nil {
		return err
	}
	v.log, v.base, v.skipped = nil, nil, nil
	places, err := v.snapshots.list() // First, since a live writer takes snapshots of what the log has.
	if err != nil {
		return err
	}
	if v.log, err = openWAL(v.dir, v.opts, places); err != nil {
		return err
	}
	v.untried, v.snapshots.log, v.last = places, v.log, v.log.Last()
	if err := syncShown(v.dir, v.opts, v.log); err != nil {
		return err
	}
	if v.opts.replicated, err = isReplica(v.dir, v.opts); err == nil && v.opts.replicated {
		v.last, err = committedIn(v.walDir(), v.log)
	}
	return errors.Join(err, v.nextBase())
}

// nextBase makes the newest snapshot the base that wasn't tried yet and can be opened, as inventory.find does.
func (v *DiskView) nextBase() error {
	v.base = nil
	for len(v.untried) > 0 && v.base == nil {
		place := v.untried[0]
		v.untried = v.untried[1:]
		file, err := v.snapshots.open(place.Path)
		switch {
		case err == nil:
			v.base = file
			v.clock.goesOnFrom(unixNano(file.Info().Time))
		case errors.Is(err, fs.ErrNotExist): // It was pruned meanwhile, so there is a newer one.
		case errors.Is(err, ErrVersion):
			return err
		default:
			v.skip(place.Path, err)
		}
	}
	from := base{offset: v.baseOffset(), skipped: v.skipped}
	if v.base != nil {
		from.path = v.base.Path()
	}
	if gap := from.gap(v.walDir(), v.log.First()); gap != nil {
		return gap
	}
	return nil
}

func (v *DiskView) skip(path string, err error) {
	v.skipped = append(v.skipped, SkippedSnapshot{path, err})
	v.snapshots.warnSkipped(path, err, len(v.untried) > 0)
}

// fallBack goes on with an older snapshot after reading the base has failed, or returns why it can't.
func (v *DiskView) fallBack(ctx context.Context, err error) error {
	switch {
	case v.over != nil:
		return v.over // It was closed between two pairs.
	case v.base == nil || ctx.Err() != nil || errors.Is(err, ErrVersion):
		return err
	}
	v.skip(v.base.Path(), err)
	v.over = errors.Join(v.base.Close(), v.nextBase())
	return v.over
}

func (v *DiskView) walDir() string { return filepath.Join(v.dir, walName) }

// baseOffset returns the offset of the last commit in the base.
func (v *DiskView) baseOffset() uint64 {
	if v.base == nil {
		return 0
	}
	return v.base.Info().Offset
}

// Offset returns the offset of the last commit that the view shows, 0 where there is none.
func (v *DiskView) Offset() uint64 {
	if v.opts.replicated {
		return max(v.last, v.baseOffset())
	}
	return v.last
}

// baseMoment returns the moment at which the base ends.
func (v *DiskView) baseMoment() moment {
	if v.base == nil {
		return moment{}
	}
	info := v.base.Info()
	accepted, _ := acceptedIn(info.Header)
	return moment{info.Offset, unixNano(info.Time), accepted}
}

// Get returns the pair of a key. The error is ErrNotFound, ErrEmptyKey, ErrKeyTooLarge, or one of Scan.
func (v *DiskView) Get(ctx context.Context, key []byte) (Pair, error) {
	if err := checkKey(key); err != nil {
		return Pair{}, err
	}
	start, end := copyBoth(key, key)
	for p, err := range v.Scan(ctx, Range{Start: start, End: append(end, 0)}) {
		return p, err
	}
	return Pair{}, ErrNotFound
}

// Scan yields the pairs of a range in order. It reads the log before the first pair, and keeps what is about the range: with a limit no
// more than some megabytes of it, and it reads the log again where the limit lies further on. An error ends it: a *CorruptError where a
// record of the log is damaged, or a block that no older snapshot can stand in for; ErrVersion; ErrClosed; ctx's; or one of the file
// system.
func (v *DiskView) Scan(ctx context.Context, r Range) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		now, yielded := int64(0), 0
		for p, err := range v.entries(ctx, r) {
			if err != nil {
				yield(Pair{}, fmt.Errorf("kv: read %s: %w", v.dir, err))
				return
			}
			if now == 0 {
				now = v.clock.now() // The log has been read, so it isn't before the last commit.
			}
			if p.expired(now) {
				continue
			}
			yielded++
			if !yield(Pair{p.key, p.value, deadlineTime(p.deadline)}, nil) || yielded == r.Limit {
				return
			}
		}
	}
}

// Close closes the files. Calling it again does nothing.
func (v *DiskView) Close() error {
	if v.over == ErrClosed {
		return nil
	}
	v.over = ErrClosed
	if err := v.release(); err != nil {
		return fmt.Errorf("kv: close %s: %w", v.dir, err)
	}
	return nil
}

func (v *DiskView) release() (err error) {
	if v.base != nil {
		err = v.base.Close()
	}
	if v.log != nil {
		err = errors.Join(err, v.log.Close())
	}
	return err
}

// diskEntry is a pair as a DiskView comes by it. The bytes stay valid.
type diskEntry struct {
	key, value []byte
	deadline   int64
}

func (e diskEntry) expired(now int64) bool { return e.deadline != 0 && e.deadline <= now }

// overlayFirst is how many bytes the first overlay of a scan with a limit may take. Each later one may take twice as many, so that a
// limit that proves large has the log read only some times. A scan without a limit has one overlay, which takes two thirds of the time
// and more memory (docs/notebook.md).
const overlayFirst = 8 << 20

// entries yields the pairs of a range in order, expired ones included, without an end at the limit.
func (v *DiskView) entries(ctx context.Context, r Range) iter.Seq2[diskEntry, error] {
	return func(yield func(diskEntry, error) bool) {
		start, end, _ := r.bounds() // Where no key is possible, the log is read all the same: damage is to be noticed.
		rest := span{start, end}
		most := int64(math.MaxInt64)
		if r.Limit > 0 {
			most = v.most
		}
		for more := true; more; most = 2 * min(most, math.MaxInt64/2) {
			o, err := v.readLog(ctx, rest, r.Reverse, most)
			if err == nil {
				last := []byte(nil)
				for e, broken := range whileLasting(ctx, v.merged(o)) {
					if err = broken; err != nil {
						break
					}
					if last = e.key; !yield(e, nil) {
						return
					}
				}
				if err != nil {
					rest, err = rest.after(last, r.Reverse), v.fallBack(ctx, err)
				} else {
					rest, more = o.rest, o.cut
				}
			}
			if err != nil {
				yield(diskEntry{}, err)
				return
			}
		}
	}
}

// readLog returns what the records after the base say about a span, for a scan in that direction. It reads all of them, so that
// damage is found as a start finds it.
func (v *DiskView) readLog(ctx context.Context, about span, reverse bool, most int64) (*overlay, error) {
	if v.over != nil {
		return nil, v.over
	}
	o := newOverlay(about, reverse, v.base == nil, most)
	at, size, last, report := v.baseMoment(), int64(0), v.last, limited(v.opts.Progress)
	for record, err := range whileLasting(ctx, v.log.Records(v.baseOffset()+1)) {
		if err == nil && record.Offset > last {
			break
		}
		if err == nil {
			at, err = v.take(o, at, record)
		}
		if err != nil {
			return nil, err
		}
		size += int64(len(record.Payload))
		if record.Offset%replayChunk == 0 {
			report(Progress{Offset: record.Offset, Last: last})
		}
	}
	v.opts.Progress(Progress{Offset: last, Last: last})
	v.clock.goesOnFrom(at.time)
	v.logBytes = size
	o.finish()
	return o, nil
}

// take applies a record to an overlay, and returns the moment after it.
func (v *DiskView) take(o *overlay, at moment, record wal.Record) (moment, error) {
	e, err := readEntry(record.Payload)
	next, accepted := at.after(record.Offset, &e)
	if err == nil && accepted {
		_, err = visitRecord(e.mutations, o.take)
	}
	if err != nil {
		err = undecodable(segmentPath(v.walDir(), v.log.Segments(), record.Offset), record.Offset, err)
	}
	return next, err
}

// merged yields what the base and an overlay hold together, in the order of the overlay's scan.
func (v *DiskView) merged(o *overlay) iter.Seq2[diskEntry, error] {
	return func(yield func(diskEntry, error) bool) {
		if o.alone {
			ahead := newLookahead(func(p pair) bool { return yield(diskEntry{p.key(), p.value(), p.deadline()}, nil) })
			for _, p := range o.pairs {
				if !ahead.take(p) {
					return
				}
			}
			ahead.flush()
			return
		}
		newer := o.pairs
		// take yields the newer pairs that come before a key, all where it is nil, and reports whether the scan goes on.
		take := func(before []byte) bool {
			for len(newer) > 0 && (before == nil || o.precedes(newer[0].key(), before)) {
				p := newer[0]
				newer = newer[1:]
				if !p.isTombstone() && !yield(diskEntry{p.key(), p.value(), p.deadline()}, nil) {
					return false
				}
			}
			return true
		}
		for stored, err := range v.stored(o.part, o.reverse) {
			if err != nil {
				yield(diskEntry{}, err)
				return
			}
			if !take(stored.key) {
				return
			}
			replaced := len(newer) > 0 && bytes.Equal(newer[0].key(), stored.key) || o.hasLost(stored.key)
			if !replaced && !yield(stored, nil) {
				return
			}
		}
		take(nil)
	}
}

// stored yields the base's pairs in a span, in order or backwards. It reads the blocks that may have some, one at a time.
func (v *DiskView) stored(of span, reverse bool) iter.Seq2[diskEntry, error] {
	return func(yield func(diskEntry, error) bool) {
		if v.base == nil {
			return
		}
		path, blocks := v.base.Path(), v.base.Blocks()
		first := max(sort.Search(len(blocks), func(i int) bool { return bytes.Compare(blocks[i].FirstKey, of.start) > 0 })-1, 0)
		after := sort.Search(len(blocks), func(i int) bool { return !of.precedesEnd(blocks[i].FirstKey) })
		for i := range max(after-first, 0) {
			number := first + i
			if reverse {
				number = after - 1 - i
			}
			entries, err := v.base.ReadBlock(number)
			if err != nil {
				yield(diskEntry{}, snapshotError(path, err))
				return
			}
			if reverse {
				slices.Reverse(entries)
			}
			for _, e := range entries {
				if !of.has(e.Key) {
					continue
				}
				deadline, value, err := splitPair(e)
				if err != nil {
					yield(diskEntry{}, snapshotError(path, err))
					return
				}
				if !yield(diskEntry{e.Key, value, deadline}, nil) {
					return
				}
			}
		}
	}
}
