package snapshot

import (
	"errors"
	"fmt"
	"io"
)

// Errors of reading.
var (
	// ErrCorrupt matches every *CorruptError in errors.Is.
	ErrCorrupt = errors.New("snapshot: damaged")
	// ErrNotSnapshot reports bytes that don't begin as a snapshot does. It is wrapped in a *CorruptError, since damage to
	// the first bytes of a snapshot looks the same.
	ErrNotSnapshot = errors.New("snapshot: not a snapshot")
	// ErrVersion reports a snapshot that a newer version of this package wrote. It is not damage.
	ErrVersion = errors.New("snapshot: format is newer than this program")
)

// Errors of writing, and of using a closed Writer or Reader.
var (
	// ErrOrder reports a key that is not greater than the previous one.
	ErrOrder = errors.New("snapshot: keys are not in ascending order")
	// ErrTooLarge reports a key over MaxKeySize, data over MaxDataSize, or more blocks than a trailer can list.
	ErrTooLarge = errors.New("snapshot: too large")
	// ErrClosed reports the use of a Writer after Close, or a second reading of a stream.
	ErrClosed = errors.New("snapshot: closed")
)

// CorruptError says where a snapshot is damaged. Nothing was changed on disk.
type CorruptError struct {
	Path     string // The file; empty for a stream.
	Position int64  // Where the damaged part begins, in bytes from the start of the snapshot.
	Err      error  // What disagrees.
}

func (e *CorruptError) Error() string {
	name := e.Path
	if name == "" {
		name = "stream"
	}
	return fmt.Sprintf("snapshot: damaged: %s at position %d: %v", name, e.Position, e.Err)
}

// Unwrap returns what disagrees.
func (e *CorruptError) Unwrap() error { return e.Err }

// Is reports that a CorruptError is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// corrupt returns a *CorruptError, or err itself if it is ErrVersion, which is not damage.
func corrupt(path string, position int64, err error) error {
	if errors.Is(err, ErrVersion) {
		return err
	}
	return &CorruptError{Path: path, Position: position, Err: err}
}

// readFailure wraps an error of reading. An end of the bytes that comes too soon is damage, any other error is not.
func readFailure(path string, position int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt(path, position, errCut)
	}
	if path == "" {
		return fmt.Errorf("read snapshot at position %d: %w", position, err)
	}
	return fmt.Errorf("read snapshot %s at position %d: %w", path, position, err)
}

var errCut = fmt.Errorf("the bytes end too soon: %w", io.ErrUnexpectedEOF)
