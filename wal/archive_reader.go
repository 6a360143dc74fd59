package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"time"
)

// Archive is a log's history, read from the directories where its segments are kept. Its methods may be called concurrently;
// the iterators of Records belong to one goroutine each. It has a store at least, each made to follow the one before, but where the log
// was reset to a later offset: there the history has a gap.
type Archive struct {
	stores   []*store
	archived uint64
	closed   atomic.Bool
}

// archiveTries is how often an archive that seems damaged is looked at: a live writer may be at work.
const archiveTries = 6

// OpenArchive opens the history that is kept in one or more directories: archives (Options.ArchiveDir), and directories of
// logs, such as the one that the archive was filled from, dead or beside its live writer. It changes nothing. A directory that
// isn't there, and directories without any segment, are fs.ErrNotExist. Of the options FS and Logger count.
//
// The segments must be of one log and leave no gap, but where Log.Reset made one; what was there before that counts if it is in an
// archive. What is at fault is a *CorruptError: a segment that is missing, of another log, renamed, cut, older than its successor
// knows it, or there twice with different records. One may be there twice with the same records, or with less of them, and the last may
// end as that of a log which was not closed. Segments that a truncation was taking away when it died count. Damage to single records
// shows when they are read.
func OpenArchive(opts Options, dirs ...string) (*Archive, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	opts.ReadOnly = true
	named := dirs
	dirs = slices.Clone(dirs)
	for i, dir := range dirs {
		if dirs[i], err = absolute(opts.FS, dir); err != nil {
			return nil, err
		}
	}
	for try := 0; ; try++ {
		// A live writer may have moved a segment from one directory to another, so each try takes them in another order.
		a, err := history(opts, dirs, try%2 == 1)
		if err == nil {
			return a, nil
		}
		err = fmt.Errorf("open archive %s: %w", strings.Join(named, ", "), err)
		if try == archiveTries-1 || !errors.Is(err, ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		time.Sleep(time.Millisecond << try)
	}
}

// ID returns the identity of the log whose history it is.
func (a *Archive) ID() [16]byte { return a.stores[0].head.id }

// First returns the offset of the first record held; it is Last()+1 where there is none.
func (a *Archive) First() uint64 { return a.stores[0].head.base }

// Last returns the offset of the last record held.
func (a *Archive) Last() uint64 { return a.stores[len(a.stores)-1].next - 1 }

// Archived returns the offset after which the records are in a log's directory alone, where Log.TruncateBack may take them away. It is
// Last where there are none.
func (a *Archive) Archived() uint64 { return a.archived }

// Segments describes the segments in order. An archive has no indexes, so that nothing is said of them. A gap shows as one whose Base is
// more than one after the Last before it.
func (a *Archive) Segments() []SegmentInfo {
	infos := make([]SegmentInfo, len(a.stores))
	for i, s := range a.stores {
		infos[i] = s.info()
		infos[i].Last = s.next - 1
	}
	return infos
}

// Records returns the records from an offset on, in order, up to the last. An error ends it: ErrTruncated before the first
// offset held and at a gap, a *CorruptError where a record doesn't check out, ErrClosed.
func (a *Archive) Records(from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if from > a.Last() {
			return
		}
		if from < a.First() {
			yield(Record{}, fmt.Errorf("offset %d, the first held is %d: %w", from, a.First(), ErrTruncated))
			return
		}
		holder := sort.Search(len(a.stores), func(i int) bool { return a.stores[i].head.base > from }) - 1
		for i, s := range a.stores[holder:] {
			sc := s.scan(s.end)
			for sc.position < s.end {
				if a.closed.Load() {
					yield(Record{}, ErrClosed)
					return
				}
				f, err := sc.frame()
				if err != nil {
					err = readError(s.path, sc.position, sc.next, err)
				} else if f.kind != kindRecord || f.offset < from {
					continue
				}
				if !yield(Record{Offset: f.offset, Payload: f.payload}, err) || err != nil {
					return
				}
			}
			// The chain shows that nothing but what was written was there.
			if sc.position == s.end && (sc.next != s.next || sc.chain != s.chain) {
				yield(Record{}, corrupt(s.path, s.end, sc.next, fmt.Errorf("it ends with offset %d and chain %08x, want %d and %08x",
					sc.next-1, sc.chain, s.next-1, s.chain)))
				return
			}
			if later := a.stores[holder+i+1:]; len(later) > 0 && later[0].head.base > s.next {
				yield(Record{}, fmt.Errorf("offsets %d to %d are not held, the log was reset to go on with %d: %w",
					s.next, later[0].head.base-1, later[0].head.base, ErrTruncated))
				return
			}
		}
	}
}

// Close closes the files. Iterators that are under way end with an error. A second Close returns ErrClosed.
func (a *Archive) Close() error {
	if a.closed.Swap(true) {
		return ErrClosed
	}
	return closeStores(a.stores)
}
