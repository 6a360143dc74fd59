package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// moment is a place in a history, after the record with an offset. accepted is the offset of the last commit up to there, 0 where there
// is none, and time is when that was made, in nanoseconds since 1970, 0 where it isn't known. Of two histories of a store, one of which
// was copied, it tells the commits apart.
type moment struct {
	offset   uint64
	time     int64
	accepted uint64 // The same as offset, but where a replica's entries are no commits or were refused.
}

// after is the acceptance rule: it returns the moment after a record, and whether that is a commit which happens. A replica's commit
// happens only if it was made on the last one that did. Nothing but the log counts, so all that reads it comes to the same.
func (m moment) after(offset uint64, e *entry) (next moment, accepted bool) {
	if e.decided && !(e.isCommit() && e.base == m.accepted) {
		return moment{offset, m.time, m.accepted}, false
	}
	return moment{offset, e.made, offset}, true
}

// differs reports whether a commit with the same offset is another one.
func (m moment) differs(time int64) bool {
	return m.accepted == m.offset && m.time != 0 && time != 0 && m.time != time
}

// source is where a replay reads commits: the log, an increment, an archive.
type source struct {
	name    string                                                // For errors; empty for the log.
	whole   bool                                                  // To be read to its end: a stream may be damaged after the target.
	records func(at moment) (iter.Seq2[wal.Record, error], error) // From a moment on, or from one before that.
	path    func(offset uint64) string                            // Of what holds a record.
}

func logSource(dir string, log *wal.Log) source {
	return source{
		records: func(at moment) (iter.Seq2[wal.Record, error], error) { return log.Records(at.offset + 1), nil },
		path:    func(offset uint64) string { return segmentPath(dir, log.Segments(), offset) },
	}
}

// unbroken returns up to which offset segments have all commits after another one.
func unbroken(segments []Segment, last uint64) uint64 {
	for _, segment := range segments {
		if segment.Base <= last+1 {
			last = max(last, segment.Last)
		}
	}
	return last
}

// archiveSource reads commits from the archive of a log with that identity. Of a replica's these are what is known to be agreed upon.
func archiveSource(opts Options, dirs []string, id [16]byte) source {
	var segments []Segment
	s := source{name: "archive", path: func(offset uint64) string { return segmentPath(dirs[0], segments, offset) }}
	s.records = func(at moment) (iter.Seq2[wal.Record, error], error) {
		archive, err := wal.OpenArchive(opts.log(dirs[0]), dirs...)
		if err != nil {
			return nil, err
		}
		switch segments = archive.Segments(); {
		case archive.ID() != id:
			err = otherStore(archive.ID(), id)
		case archive.First() > at.offset+1:
			err = fmt.Errorf("%w: its first commit is %d, but what precedes it ends with %d", ErrMismatch, archive.First(), at.offset)
		}
		if err != nil {
			return nil, errors.Join(err, archive.Close())
		}
		return func(yield func(wal.Record, error) bool) {
			defer func() { _ = archive.Close() }() // It was only read.
			from := at.offset
			if !slices.ContainsFunc(segments, func(s Segment) bool { return s.Base <= from && from <= s.Last }) {
				from++
			}
			agreed := archive.Archived()
			for record, err := range archive.Records(from) {
				if err == nil && record.Offset > agreed {
					agreed, err = agreedIn(archive, record, s.path)
				}
				if err == nil && record.Offset > agreed || !yield(record, err) {
					return
				}
			}
		}, nil
	}
	return s
}

// agreedIn returns up to which offset an archive's records are known to be agreed upon, given one that is in a log's directory alone. The
// last record says so, as in committedIn.
func agreedIn(archive *wal.Archive, record wal.Record, path func(uint64) string) (uint64, error) {
	if e, err := readEntry(record.Payload); err == nil && !e.decided {
		return math.MaxUint64, nil
	}
	for last, err := range archive.Records(archive.Last()) {
		if err != nil {
			return 0, err
		}
		e, err := readEntry(last.Payload)
		if err != nil {
			return 0, undecodable(path(last.Offset), last.Offset, err)
		}
		return max(min(e.committed, last.Offset), archive.Archived()), nil
	}
	return archive.Archived(), nil
}

// incrementSource reads the commits of an increment to a backup of the store with that identity.
func incrementSource(number int, increment io.Reader, id [16]byte) source {
	name := fmt.Sprintf("increment %d", number)
	s := source{name: name, whole: true, path: func(uint64) string { return name }}
	s.records = func(at moment) (iter.Seq2[wal.Record, error], error) {
		in, err := snapshot.NewReader(increment, snapshot.Options{})
		if err == nil {
			err = continues(in.Header(), id, at)
		}
		if err != nil {
			return nil, snapshotError(name, err)
		}
		return func(yield func(wal.Record, error) bool) {
			for e, err := range in.Entries() {
				if err == nil && len(e.Key) != 8 {
					err = &CorruptError{Err: fmt.Errorf("an entry's key has %d bytes, not the 8 of an offset", len(e.Key))}
				}
				if err != nil {
					yield(wal.Record{}, snapshotError(name, err))
					return
				}
				if !yield(wal.Record{Offset: binary.BigEndian.Uint64(e.Key), Payload: e.Data}, nil) {
					return
				}
			}
		}, nil
	}
	return s
}

// continues refuses an increment that doesn't go on where a backup, or the increment before it, ends.
func continues(head snapshot.Header, id [16]byte, at moment) error {
	switch {
	case head.Kind != kindRecords:
		return fmt.Errorf("%w: it is a whole backup", ErrMismatch)
	case head.ID != id:
		return otherStore(head.ID, id)
	case head.From > at.offset:
		return fmt.Errorf("%w: it starts after commit %d, but what precedes it ends with %d", ErrMismatch, head.From, at.offset)
	case head.From == at.offset && at.differs(unixNano(head.Time)):
		return otherHistory(at, unixNano(head.Time))
	}
	return nil
}

func otherStore(id, backup [16]byte) error {
	return fmt.Errorf("%w: it is of another store: its identity is %x, the backup's %x", ErrMismatch, id, backup)
}

// otherHistory is the error of commits of a copy of the store, which went on by itself.
func otherHistory(at moment, other int64) error {
	return fmt.Errorf("%w: it is of a copy of the store with another history: it has a commit %d made at %s, what precedes it one made at %s",
		ErrMismatch, at.offset, timeText(deadlineTime(other)), timeText(deadlineTime(at.time)))
}

// segmentPath returns the path of the segment that holds an offset, or the directory.
func segmentPath(dir string, segments []Segment, offset uint64) string {
	for _, segment := range segments {
		if segment.Base <= offset && offset <= segment.Last {
			return segment.Path
		}
	}
	return dir
}

// undecodable returns why a record that checks out is no commit. What a newer version wrote is no damage.
func undecodable(path string, offset uint64, err error) error {
	if errors.Is(err, ErrVersion) {
		return fmt.Errorf("commit %d: %w", offset, err)
	}
	return &CorruptError{Path: path, Offset: offset, Err: fmt.Errorf("the record is no commit: %w", err)}
}
