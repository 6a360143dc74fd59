package wal

import (
	"errors"
	"fmt"
)

// Errors of opening a log.
var (
	// ErrCorrupt is what every *CorruptError is, for errors.Is.
	ErrCorrupt = errors.New("wal: damaged")
	// ErrVersion reports a file whose format this package doesn't read: a newer one, or one from before the first release.
	ErrVersion = errors.New("wal: format is not one of this program")
)

// Errors of using a log.
var (
	// ErrClosed reports the use of a log after Close.
	ErrClosed = errors.New("wal: log is closed")
	// ErrReadOnly reports a write to a log that was opened with Options.ReadOnly.
	ErrReadOnly = errors.New("wal: log is read-only")
	// ErrTooLarge reports a record over Options.MaxRecordSize.
	ErrTooLarge = errors.New("wal: record is too large")
	// ErrNoSpace reports an append that was refused because the disk is full, or because a file must not become that large.
	// Nothing was written and no offset was used; the same append works once there is room. The operating system's error is wrapped beside it.
	ErrNoSpace = errors.New("wal: no space left")
	// ErrFailed reports that an earlier write or sync failed, after which the log takes no more records until it is
	// opened again. Whether the records that were being written then are in the log is not known before that.
	ErrFailed = errors.New("wal: log has failed")
	// ErrTruncated reports an offset before the first record held.
	ErrTruncated = errors.New("wal: offset has been truncated")
	// ErrDiverged reports that a log which is followed no longer holds records that were shown: it was cut, reset or replaced.
	ErrDiverged = errors.New("wal: log no longer has what was read from it")
	// ErrOutOfRange reports an offset after the last record.
	ErrOutOfRange = errors.New("wal: offset is past the end of the log")
)

// CorruptError says which bytes are damaged: bytes that were durable and no longer check out, or a file that is
// missing or doesn't belong where it stands. Nothing was changed on disk.
type CorruptError struct {
	Path     string // The file; it may be one that is missing.
	Position int64  // The position in the file in bytes.
	Offset   uint64 // The first record that can't be read, 0 where that isn't known.
	Err      error  // What disagrees.
}

func (e *CorruptError) Error() string {
	offset := ""
	if e.Offset != 0 {
		offset = fmt.Sprintf(", offset %d", e.Offset)
	}
	return fmt.Sprintf("wal: damaged: %s at position %d%s: %v", e.Path, e.Position, offset, e.Err)
}

// Unwrap returns what disagrees.
func (e *CorruptError) Unwrap() error { return e.Err }

// Is reports that a CorruptError is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

func corrupt(path string, position int64, offset uint64, err error) error {
	return &CorruptError{Path: path, Position: position, Offset: offset, Err: err}
}
