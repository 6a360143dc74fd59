package kv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// SnapshotFile is a snapshot of a store on disk: every pair as of one offset.
type SnapshotFile struct {
	Path    string
	Offset  uint64    // The last commit that it shows.
	Bytes   int64     // The file's size.
	Time    time.Time // When it was taken. This and what follows is known of a snapshot that can be read.
	Entries uint64    // Pairs.
	Blocks  int
	Packed  string // How it is compressed: none, s2 or zstd.
	Err     error  // Why the store doesn't start from it; nil where it would. Blocks haven't been looked at.
}

// Snapshots returns the snapshots in a store's directory, those of later offsets first. Of each it reads what is at the
// file's ends. It takes no lock and changes nothing. Of opts, FS counts.
func Snapshots(dir string, opts Options) ([]SnapshotFile, error) {
	log, err := OpenLog(dir, opts)
	if err != nil {
		return nil, err
	}
	files, err := snapshotFiles(dir, opts, log.log.ID())
	if err = errors.Join(err, log.Close()); err != nil {
		return nil, fmt.Errorf("kv: snapshots of %s: %w", dir, err)
	}
	return files, nil
}

func snapshotFiles(dir string, opts Options, id [16]byte) ([]SnapshotFile, error) {
	places, err := snapshot.List(opts.FS, filepath.Join(dir, snapshotName))
	if err != nil {
		return nil, err
	}
	files := make([]SnapshotFile, 0, len(places))
	for _, place := range places {
		file := SnapshotFile{Path: place.Path, Offset: place.Offset, Bytes: place.Bytes}
		file.look(opts, id)
		if !errors.Is(file.Err, fs.ErrNotExist) { // A writer has pruned it since.
			files = append(files, file)
		}
	}
	return files, nil
}

// snapshotOffsets returns the offsets of what is listed; where that fails, those who read the directory next will say so.
func snapshotOffsets(dir string, opts Options) (offsets []uint64) {
	places, _ := snapshot.List(opts.FS, filepath.Join(dir, snapshotName))
	for _, place := range places {
		offsets = append(offsets, place.Offset)
	}
	return offsets
}

// look opens the file and takes down what it says.
func (f *SnapshotFile) look(opts Options, id [16]byte) {
	file, err := openSnapshot(opts, f.Path, id)
	if err != nil {
		f.Err = err
		return
	}
	info := file.Info()
	f.Time, f.Entries, f.Blocks, f.Packed = info.Time, info.Entries, info.Blocks, info.Compression.String()
	f.Err = file.Close()
}

// openSnapshot opens a snapshot of the store with this identity.
func openSnapshot(opts Options, path string, id [16]byte) (*snapshot.File, error) {
	file, err := snapshot.Open(opts.FS, path)
	if err != nil {
		return nil, snapshotError(err)
	}
	info := file.Info()
	switch {
	case info.ID != id:
		err = &CorruptError{Path: path, Offset: info.Offset, Err: fmt.Errorf("the snapshot is of another store: its identity is %x, the log's %x", info.ID, id)}
	case info.Kind != kindPairs || info.From != 0:
		err = &CorruptError{Path: path, Offset: info.Offset, Err: fmt.Errorf("the snapshot is no state: kind %d, from offset %d", info.Kind, info.From)}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// snapshotError returns an error of package snapshot as one of this package.
func snapshotError(err error) error {
	var damage *snapshot.CorruptError
	if errors.As(err, &damage) {
		return &CorruptError{Path: damage.Path, Position: damage.Position, Err: damage.Err}
	}
	if errors.Is(err, snapshot.ErrVersion) {
		return fmt.Errorf("%w: %w", ErrVersion, err)
	}
	return err
}

// SkippedSnapshot is a snapshot that opening a store could not use, so that it started from an older one and a longer
// piece of the log. Nothing removes it by itself.
type SkippedSnapshot struct {
	Path string
	Err  error
}

// base is what a replay starts from: a state, and where it is from.
type base struct {
	state   *state
	path    string            // The snapshot's; empty where there is none and everything is in the log.
	offset  uint64            // Of the last commit in it.
	bytes   int64             // The snapshot's size.
	time    int64             // When it was taken, in nanoseconds since 1970.
	skipped []SkippedSnapshot // Newer ones that are damaged.
}

// findBase loads the newest snapshot that can be read, of those as of an offset of most at the most. Without any, the base
// is the empty state before the first commit.
func findBase(dir string, opts Options, log *wal.Log, most uint64, told func(Progress)) (base, error) {
	places, err := snapshot.List(opts.FS, filepath.Join(dir, snapshotName))
	if err != nil {
		return base{}, err
	}
	var b base
	for _, place := range places {
		if place.Offset > most {
			continue
		}
		if err = b.load(opts, place.Path, log.ID(), told); err == nil {
			return b, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // It was pruned since, so there is a newer one.
		}
		if !errors.Is(err, ErrCorrupt) {
			return b, err
		}
		opts.Logger.Warn("snapshot is damaged; starting from an older one", "path", place.Path, "error", err)
		b.skipped = append(b.skipped, SkippedSnapshot{place.Path, err})
	}
	b.state = newState()
	return b, nil
}

// loadAhead is how many blocks are decoded ahead besides one a processor. The tree takes pairs in bursts of loadChunk, which
// are some blocks. A million pairs took 0.50 s with it and 0.59 s without (medians of seven interleaved rounds).
const loadAhead = 4

// load loads one snapshot of the store.
func (b *base) load(opts Options, path string, id [16]byte, told func(Progress)) (err error) {
	file, err := openSnapshot(opts, path, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info := file.Info()
	var nearEnd []byte
	if blocks := file.Blocks(); len(blocks) > 0 {
		nearEnd = blocks[len(blocks)-1].FirstKey
	}
	s, err := loadState(info.Offset, nearEnd, snapshot.Decode(file, loadAhead+runtime.GOMAXPROCS(0), decodePair), func(loaded uint64) {
		told(Progress{Loaded: loaded, Pairs: info.Entries})
	})
	if err != nil {
		return snapshotError(err)
	}
	b.state, b.path, b.offset, b.bytes, b.time = s, path, info.Offset, info.FileBytes, info.Time.UnixNano()
	return nil
}

// VerifySnapshot reads every byte of one of a store's snapshots and checks it. Damage is a *CorruptError. Of opts, FS counts.
func VerifySnapshot(ctx context.Context, path string, opts Options) error {
	file, err := snapshot.Open(opts.FS, path)
	if err == nil {
		err = errors.Join(file.Verify(ctx), file.Close())
	}
	if err != nil {
		return fmt.Errorf("kv: verify snapshot %s: %w", path, snapshotError(err))
	}
	return nil
}

// SnapshotBlock says where a block of a snapshot is, and what it holds.
type SnapshotBlock = snapshot.BlockInfo

// SnapshotBlocks returns the blocks of one of a store's snapshots in order. Damage is a *CorruptError. Of opts, FS counts.
func SnapshotBlocks(path string, opts Options) ([]SnapshotBlock, error) {
	file, err := snapshot.Open(opts.FS, path)
	if err != nil {
		return nil, fmt.Errorf("kv: inspect snapshot %s: %w", path, snapshotError(err))
	}
	return file.Blocks(), file.Close()
}

// PruneSnapshots removes the oldest snapshots of the store in a directory, down to so many, and returns the paths that are
// gone. At least one stays. Damaged ones are left alone and don't count. The log isn't truncated: the next checkpoint does
// that. It takes the store's lock, so an open store is ErrLocked. Of opts, the fields Logger and FS count.
func PruneSnapshots(dir string, keep int, opts Options) (removed []string, err error) {
	opts, err = opts.withDefaults()
	if err == nil {
		removed, err = pruneLocked(dir, max(keep, 1), opts)
	}
	if err != nil {
		return removed, fmt.Errorf("kv: prune snapshots of %s: %w", dir, err)
	}
	return removed, nil
}

func pruneLocked(dir string, keep int, opts Options) (removed []string, err error) {
	reading := opts
	reading.ReadOnly = true
	if err := checkDir(dir, reading); err != nil {
		return nil, err
	}
	lock, err := opts.FS.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	before, err := Snapshots(dir, opts)
	if err != nil {
		return nil, err
	}
	log, err := OpenLog(dir, opts)
	if err != nil {
		return nil, err
	}
	_, err = prune(opts, filepath.Join(dir, snapshotName), log.log.ID(), keep)
	if err = errors.Join(err, log.Close()); err != nil {
		return nil, err
	}
	after, err := Snapshots(dir, opts)
	for _, file := range before {
		if !slices.ContainsFunc(after, func(left SnapshotFile) bool { return left.Path == file.Path }) {
			removed = append(removed, file.Path)
		}
	}
	return removed, err
}
