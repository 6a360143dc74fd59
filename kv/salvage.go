package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/walnutkv/walnut/wal"
)

// Piece is a commit of a log that may be damaged, or a stretch of bytes that don't check out.
type Piece struct {
	Commit          // Of a stretch, Offset alone: the first commit that it should hold.
	Last     uint64 // The last commit that a stretch should hold, 0 where that isn't known, Offset-1 where it holds none.
	Path     string // The file; it may be one that is missing.
	Position int64  // In bytes.
	Bytes    int64  // What the piece takes in the file.
	Err      error  // Why a stretch doesn't check out; nil for a commit.
	Unproven bool   // A stretch comes before the commit, so nothing shows that it is the one that followed.
}

// Salvage yields the commits that can be read of the log of a store, also those after damage, and the stretches of damage between them. It
// takes no lock and changes nothing. No option counts. An error ends it: ErrVersion, ctx's, or one of the file system.
func Salvage(ctx context.Context, dir string, opts Options) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		if err := salvage(ctx, dir, opts, func(p Piece) bool { return yield(p, nil) }); err != nil {
			yield(Piece{}, fmt.Errorf("kv: salvage log of %s: %w", dir, err))
		}
	}
}

func salvage(ctx context.Context, dir string, opts Options, yield func(Piece) bool) (err error) {
	opts.ReadOnly = true
	if opts, err = opts.withDefaults(); err != nil {
		return err
	}
	if err := checkDir(dir, opts); err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	log, err := wal.OpenSalvage(filepath.Join(dir, walName), opts.log(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	w := &wreck{log: log}
	for found, err := range w.pieces(ctx) {
		if err != nil {
			return err
		}
		p := Piece{Last: found.Last, Path: found.Path, Position: found.Position, Bytes: found.Bytes, Err: found.Err, Unproven: found.Unproven}
		p.Offset = found.Offset
		if made, mutations, err := decodeEntry(found.Payload, nil); err == nil && found.Err == nil {
			p.Commit = Commit{found.Offset, time.Unix(0, made).UTC(), len(found.Payload), withoutPairs(mutations)}
		}
		if !yield(p) {
			return nil
		}
	}
	return nil
}
