package kv

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/walnutkv/walnut/wal"
)

// Violation is one thing that Check found. Its field Damage tells damage from a mere notice.
type Violation = wal.Violation

// Check reads every byte of the store in a directory and returns what is wrong with it: damage, and notices of what an
// opening would mend or leave alone, such as foreign files. It takes no lock, changes nothing, and works on a damaged
// store; beside a live writer it may take what is being written for an unfinished tail. Of opts, the fields Logger and
// FS count. The error says why the check itself could not be made: ErrNotStore, ctx's, or one of the file system.
func Check(ctx context.Context, dir string, opts Options) ([]Violation, error) {
	opts.ReadOnly = true
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	violations, err := check(ctx, dir, opts)
	if err != nil {
		return nil, fmt.Errorf("kv: check %s: %w", dir, err)
	}
	return violations, nil
}

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
	return append(append(violations, inLog...), inCommits...), nil
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
		case lockName, walName, quarantineName:
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
	if first := log.First(); first != 1 {
		violations = append(violations, asViolation(gap(dir, first)))
	}
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

// asViolation returns damage as what Check lists.
func asViolation(damage *CorruptError) Violation {
	return Violation{Path: damage.Path, Position: damage.Position, Offset: damage.Offset, Damage: true, Problem: damage.Err.Error()}
}
