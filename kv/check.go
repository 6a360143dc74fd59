package kv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/walnutkv/walnut/wal"
)

// Violation is one thing that Check found. Its field Damage tells damage from a mere notice.
type Violation = wal.Violation

// Check reads every byte of the store in a directory and returns what is wrong with it: damage, and notices of what an
// opening would mend or leave alone, such as foreign files. It takes no lock, changes nothing, and works on a damaged
// store; beside a live writer it may take what is being written for an unfinished tail. Of opts, the fields Logger and
// FS count. The error says why the check itself could not be made: ErrNotStore, ctx's, or one of the file system.
func Check(ctx context.Context, dir string, opts Options) (found []Violation, err error) {
	opts.ReadOnly = true
	opts, err = opts.withDefaults()
	if err != nil {
		return nil, err
	}
	// A segment that a live writer ends, or a snapshot and a log that it shortens, may look damaged between two looks at
	// them. What is damaged stays so.
	for range checkTries {
		violations, err := check(ctx, dir, opts)
		if err != nil {
			return nil, fmt.Errorf("kv: check %s: %w", dir, err)
		}
		if found = violations; !slices.ContainsFunc(found, isDamage) {
			break
		}
	}
	return found, nil
}

// checkTries is how often Check looks at a store that seems damaged.
const checkTries = 3

func isDamage(v Violation) bool { return v.Damage }

func check(ctx context.Context, dir string, opts Options) ([]Violation, error) {
	if err := checkDir(dir, opts); err != nil {
		return nil, err
	}
	violations, err := checkForeign(dir, opts)
	if err != nil {
		return nil, err
	}
	inLog, err := wal.Check(filepath.Join(dir, walName), opts.log(dir))
	if err != nil {
		return nil, err
	}
	inCommits, err := checkCommits(ctx, dir, opts)
	if err != nil {
		return nil, err
	}
	inSnapshots, err := checkSnapshots(ctx, dir, opts)
	if err != nil {
		return nil, err
	}
	return slices.Concat(violations, inLog, inCommits, inSnapshots), nil
}

// checkForeign names what doesn't belong into a store's directory. It is left alone by everything.
func checkForeign(dir string, opts Options) ([]Violation, error) {
	entries, err := opts.FS.List(dir)
	if err != nil {
		return nil, err
	}
	var violations []Violation
	for _, entry := range entries {
		switch entry.Name {
		case lockName, walName, snapshotName, quarantineName:
		default:
			violations = append(violations, Violation{Path: filepath.Join(dir, entry.Name), Problem: "foreign file"})
		}
	}
	return violations, nil
}

// checkCommits names every record that the log vouches for and that is no commit. Damage to the log itself ends it, and
// is for wal.Check to name.
func checkCommits(ctx context.Context, dir string, opts Options) (violations []Violation, err error) {
	log, err := openWAL(dir, opts)
	if errors.Is(err, ErrCorrupt) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	for record, err := range log.Records(log.First()) {
		if errors.Is(err, ErrCorrupt) {
			return violations, nil
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		if _, err := decodeCommit(record); err != nil {
			violations = append(violations, asViolation(undecodable(dir, log.Segments(), record.Offset, err)))
		}
	}
	return violations, nil
}

// checkSnapshots names every snapshot that a start could not begin with, and says whether one that it could goes together
// with the log.
func checkSnapshots(ctx context.Context, dir string, opts Options) (violations []Violation, err error) {
	log, err := openWAL(dir, opts)
	if errors.Is(err, ErrCorrupt) {
		return nil, nil // For wal.Check to name.
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	files, err := snapshotFiles(dir, opts, log.ID())
	if err != nil {
		return nil, err
	}
	var sound base
	for _, file := range files {
		err := file.Err
		if err == nil {
			err = VerifySnapshot(ctx, file.Path, opts)
		}
		var damage *CorruptError
		switch {
		case errors.As(err, &damage):
			violations = append(violations, asViolation(damage))
			sound.skipped = append(sound.skipped, SkippedSnapshot{file.Path, err})
		case errors.Is(err, fs.ErrNotExist): // A checkpoint has removed it meanwhile.
		case err != nil:
			return nil, err
		case file.Offset > log.Last():
			violations = append(violations, asViolation(ahead(file.Path, file.Offset, log.Last())))
		case sound.path == "":
			sound.path, sound.offset = file.Path, file.Offset
		}
	}
	if gap := sound.reaches(dir, log.First()); gap != nil {
		violations = append(violations, asViolation(gap))
	}
	return violations, nil
}

// asViolation returns damage as what Check lists.
func asViolation(damage *CorruptError) Violation {
	return Violation{Path: damage.Path, Position: damage.Position, Offset: damage.Offset, Damage: true, Problem: damage.Err.Error()}
}
