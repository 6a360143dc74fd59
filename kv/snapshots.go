package kv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/walnutkv/walnut/snapshot"
)

// SnapshotFile is a snapshot of a store on disk: every pair as of one offset.
type SnapshotFile struct {
	Path    string
	Offset  uint64    // The last commit that it shows.
	Bytes   int64     // The file's size.
	Time    time.Time // When that commit was made. This and what follows is known of a snapshot that can be read.
	Entries uint64    // Pairs.
	Blocks  int
	Packed  string   // How it is compressed: none, s2 or zstd.
	Sum     Checksum // What Stats.Checksum was of the state; 0 in a file of format 1, which has none.
	Err     error    // Why the store doesn't start from it; nil where it would. Blocks haven't been read: VerifySnapshot does.
}

// Snapshots returns the snapshots in a store's directory, those of later offsets first. Of each it reads what is at the
// file's ends. It takes no lock and changes nothing. No option counts.
func Snapshots(dir string, opts Options) (files []SnapshotFile, err error) {
	err = withInventory(dir, opts, func(v *inventory) error {
		places, err := v.list()
		for _, place := range places {
			if file := v.describe(place); !errors.Is(file.Err, fs.ErrNotExist) { // A writer has pruned it meanwhile.
				files = append(files, file)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kv: snapshots of %s: %w", dir, err)
	}
	return files, nil
}

// withInventory calls use with what is known of the snapshots of the store in a directory, which nothing has open.
func withInventory(dir string, opts Options, use func(v *inventory) error) error {
	log, err := OpenLog(dir, opts)
	if err != nil {
		return err
	}
	v := newInventory(dir, opts)
	v.log = log.log
	return errors.Join(use(v), log.Close())
}

// describe opens a snapshot and returns what it says.
func (v *inventory) describe(place snapshot.Place) SnapshotFile {
	found := SnapshotFile{Path: place.Path, Offset: place.Offset, Bytes: place.Bytes}
	file, err := v.open(place.Path)
	if err != nil {
		found.Err = err
		return found
	}
	info := file.Info()
	found.Time, found.Entries, found.Blocks, found.Packed = info.Time, info.Entries, info.Blocks, info.Compression.String()
	found.Sum = Checksum(info.StateSum)
	found.Err = file.Close()
	return found
}

// VerifySnapshot reads every byte of a snapshot or a backup and checks it. Damage is a *CorruptError. No option counts.
func VerifySnapshot(ctx context.Context, path string, opts Options) error {
	return withSnapshot(path, opts, func(file *snapshot.File) error {
		err := file.Verify(ctx)
		if _, isState := acceptedIn(file.Info().Header); err == nil && isState {
			err = checkPairs(ctx, file, 0, nil)
		}
		return err
	})
}

// SnapshotBlock says where a block of a snapshot is, and what it holds.
type SnapshotBlock = snapshot.BlockInfo

// SnapshotBlocks returns the blocks of a snapshot in order. Damage is a *CorruptError. No option counts.
func SnapshotBlocks(path string, opts Options) (blocks []SnapshotBlock, err error) {
	err = withSnapshot(path, opts, func(file *snapshot.File) error {
		blocks = file.Blocks()
		return nil
	})
	return blocks, err
}

// withSnapshot calls use with a snapshot's file.
func withSnapshot(path string, opts Options, use func(file *snapshot.File) error) error {
	file, err := snapshot.Open(opts.fs, path)
	if err == nil {
		err = errors.Join(use(file), file.Close())
	}
	if err != nil {
		return fmt.Errorf("kv: snapshot %s: %w", path, snapshotError(path, err))
	}
	return nil
}

// PruneSnapshots removes the oldest snapshots of the store in a directory, all but the given number, and returns the paths
// that are gone. At least one stays. It reads every byte of those that stay: damaged ones are left alone and don't count. The
// log isn't truncated: the next checkpoint does that. It takes the store's lock, so an open store is ErrLocked. Of opts, Logger
// counts.
func PruneSnapshots(ctx context.Context, dir string, keep int, opts Options) (removed []string, err error) {
	opts, err = opts.withDefaults()
	if err == nil {
		removed, err = pruneLocked(ctx, dir, max(keep, 1), opts)
	}
	if err != nil {
		return removed, fmt.Errorf("kv: prune snapshots of %s: %w", dir, err)
	}
	return removed, nil
}

func pruneLocked(ctx context.Context, dir string, keep int, opts Options) (removed []string, err error) {
	reading := opts
	reading.ReadOnly = true
	if err := checkDir(dir, reading); err != nil {
		return nil, err
	}
	lock, err := opts.fs.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	err = withInventory(dir, opts, func(v *inventory) (err error) {
		_, removed, err = v.prune(ctx, keep, nil)
		return err
	})
	return removed, errors.Join(err, lock.Close())
}
