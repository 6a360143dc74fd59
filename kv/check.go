package kv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// Violation is one thing that Check found. Its field Damage tells damage from a mere notice.
type Violation = wal.Violation

// Check reads every byte of the store in a directory and returns what is wrong with it: damage, and notices of what an
// opening would mend or leave alone, such as foreign files. It takes no lock and changes nothing; beside a live writer it may
// take what is being written for an unfinished tail. Of opts, Logger counts. The error says why the check itself could not
// be made: ErrNotStore, ctx's, or one of the file system.
func Check(ctx context.Context, dir string, opts Options) (found []Violation, err error) {
	opts.ReadOnly = true
	opts, err = opts.withDefaults()
	if err != nil {
		return nil, err
	}
	// What a live writer changes may look damaged between two looks at it. What is damaged stays so.
	for range checkTries {
		violations, err := check(ctx, dir, opts)
		if err != nil {
			return nil, fmt.Errorf("kv: check %s: %w", dir, err)
		}
		if found = violations; !slices.ContainsFunc(found, func(v Violation) bool { return v.Damage }) {
			break
		}
	}
	return found, nil
}

// checkTries is how often Check looks at a store that seems damaged.
const checkTries = 3

func check(ctx context.Context, dir string, opts Options) ([]Violation, error) {
	var damage *CorruptError
	err := checkDir(dir, opts)
	if errors.As(err, &damage) {
		return []Violation{asViolation(damage)}, nil
	}
	if err != nil {
		return nil, err
	}
	violations, err := checkForeign(dir, opts)
	if err != nil {
		return nil, err
	}
	v := newInventory(dir, opts)
	places, err := v.list() // Before the log is read: a live writer takes snapshots of what the log has.
	if err != nil {
		return nil, err
	}
	walDir := filepath.Join(dir, walName)
	inLog, err := wal.Check(walDir, opts.log(dir))
	if err != nil {
		return nil, err
	}
	violations = append(violations, inLog...)
	log, err := openWAL(dir, opts, places)
	if errors.Is(err, errLogEnds) && errors.As(err, &damage) {
		violations = append(violations, asViolation(damage))
	}
	if errors.Is(err, ErrCorrupt) {
		return violations, nil // wal.Check has named it, unless it is this.
	}
	if err != nil {
		return nil, err
	}
	v.log = log
	replicated, err := isReplica(dir, opts)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	inCommits, err := checkCommits(ctx, walDir, log, replicated)
	inSnapshots, snapshotsErr := checkSnapshots(ctx, walDir, v, places, log)
	return slices.Concat(violations, inCommits, inSnapshots), errors.Join(err, snapshotsErr, log.Close())
}

// checkForeign names what doesn't belong into a store's directory. It is left alone by everything.
func checkForeign(dir string, opts Options) ([]Violation, error) {
	entries, err := opts.fs.List(dir)
	if err != nil {
		return nil, err
	}
	var violations []Violation
	for _, entry := range entries {
		if !isOwn(entry.Name) {
			violations = append(violations, Violation{Path: filepath.Join(dir, entry.Name), Problem: "foreign file"})
		}
	}
	return violations, nil
}

// checkRecord says why a record can't be one of the store's, which is a replica or none.
func checkRecord(record wal.Record, replicated bool) error {
	e, err := readEntry(record.Payload)
	switch {
	case err != nil:
		return err
	case e.decided != replicated:
		return fmt.Errorf("%w: it has a decision: %v, the store has a file %s: %v", ErrReplica, e.decided, replicaName, replicated)
	}
	return checkEntry(record.Payload)
}

// checkCommits names every record that is no commit, or no entry of a replica. Damage to the log itself ends it; wal.Check names that.
func checkCommits(ctx context.Context, walDir string, log *wal.Log, replicated bool) (violations []Violation, err error) {
	for record, err := range log.Records(log.First()) {
		if errors.Is(err, ErrCorrupt) {
			return violations, nil
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		if err := checkRecord(record, replicated); err != nil {
			violations = append(violations, Violation{
				Path: segmentPath(walDir, log.Segments(), record.Offset), Offset: record.Offset, Damage: true,
				Problem: "the record is no commit: " + err.Error(),
			})
		}
	}
	return violations, nil
}

// checkSnapshots names every snapshot that a start could not begin with, and any gap between the newest other one and the log.
func checkSnapshots(
	ctx context.Context, walDir string, v *inventory, places []snapshot.Place, log *wal.Log,
) (violations []Violation, err error) {
	var damage *CorruptError
	var newest base
	for _, place := range places {
		err := v.verify(ctx, place, nil)
		switch {
		case err == nil && newest.path == "":
			newest.path, newest.offset = place.Path, place.Offset
		case err == nil || errors.Is(err, fs.ErrNotExist): // A checkpoint may have removed it meanwhile.
		case ctx.Err() != nil || errors.Is(err, ErrVersion):
			return nil, err
		default:
			if !errors.As(err, &damage) {
				damage = &CorruptError{Path: place.Path, Err: err} // It can't be read, which to a start is the same.
			}
			violations = append(violations, asViolation(damage))
			newest.skipped = append(newest.skipped, SkippedSnapshot{place.Path, err})
		}
	}
	if gap := newest.gap(walDir, log.First()); gap != nil {
		violations = append(violations, asViolation(gap))
	}
	return violations, nil
}

func asViolation(damage *CorruptError) Violation {
	return Violation{Path: damage.Path, Position: damage.Position, Offset: damage.Offset, Damage: true, Problem: damage.Err.Error()}
}
