package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/walnutkv/walnut/snapshot"
)

// Backup writes every pair as of the last visible commit to w, in the format of a snapshot, and returns that commit's
// offset. Commits and reads go on meanwhile. Restore reads it. What was written is of use only where Backup returned
// no error, which may be ErrClosed, ErrFailed in the relaxed modes, ctx's, or one of w.
func (db *DB) Backup(ctx context.Context, w io.Writer) (offset uint64, err error) {
	if err := db.use(ctx); err != nil {
		return 0, fmt.Errorf("kv: backup: %w", err)
	}
	defer db.inflight.Done()
	shown := db.visible.load()
	// An increment that goes on from here must find the same commits in the log, whatever happens to the power.
	if err := db.syncVisible(); err != nil {
		return 0, fmt.Errorf("kv: backup: %w", err)
	}
	header := snapshot.Header{Kind: kindPairs, ID: db.log.ID(), Offset: shown.offset, Time: time.Unix(0, db.now())}
	if err := writeSnapshot(ctx, w, header, db.opts, db.resting(shown.entries(), backupRest)); err != nil {
		return 0, fmt.Errorf("kv: backup as of commit %d: %w", shown.offset, err)
	}
	return shown.offset, nil
}

// BackupSince writes an increment to w: the commits behind an offset, which is the one that Backup or the last
// BackupSince returned, up to the last durable one, whose offset it returns. Restore takes it together with that backup.
// A from that is no longer in the log is ErrTruncated, and then only a Backup will do; one behind the last commit is
// ErrOutOfRange. Other errors are those of Backup.
func (db *DB) BackupSince(ctx context.Context, w io.Writer, from uint64) (offset uint64, err error) {
	if err := db.use(ctx); err != nil {
		return 0, fmt.Errorf("kv: backup: %w", err)
	}
	defer db.inflight.Done()
	if err := db.syncVisible(); err != nil {
		return 0, fmt.Errorf("kv: backup: %w", err)
	}
	if offset, err = db.backupSince(ctx, w, from); err != nil {
		return 0, fmt.Errorf("kv: backup of the commits behind %d: %w", from, err)
	}
	return offset, nil
}

// syncVisible makes durable what readers see, where that is not what makes it visible.
func (db *DB) syncVisible() error {
	if db.relaxed() || db.opts.ReadOnly {
		return db.log.Sync()
	}
	return nil
}

func (db *DB) backupSince(ctx context.Context, w io.Writer, from uint64) (uint64, error) {
	last := db.log.Durable()
	switch first := db.log.First(); {
	case from+1 < first:
		return 0, fmt.Errorf("%w: the first offset held is %d", ErrTruncated, first)
	case from > last:
		return 0, fmt.Errorf("%w: the last offset is %d", ErrOutOfRange, last)
	}
	header := snapshot.Header{Kind: kindRecords, ID: db.log.ID(), From: from, Offset: last, Time: time.Unix(0, db.now())}
	var failed error
	err := writeSnapshot(ctx, w, header, db.opts, func(yield func(key, data []byte) bool) {
		var key [8]byte
		for record, err := range db.log.Records(from + 1) {
			if failed = err; err != nil || record.Offset > last {
				return
			}
			binary.BigEndian.PutUint64(key[:], record.Offset)
			if !yield(key[:], record.Payload) || record.Offset == last {
				return
			}
		}
	})
	return last, errors.Join(failed, err)
}

// writeSnapshot writes a snapshot to a stream. A ctx that ends stops it.
func writeSnapshot(ctx context.Context, w io.Writer, h snapshot.Header, opts Options, entries func(yield func(key, data []byte) bool)) error {
	out, err := snapshot.NewWriter(&contextWriter{ctx, w}, h, opts.snapshot())
	if err != nil {
		return err
	}
	for key, data := range entries {
		if err := out.Add(key, data); err != nil {
			return err
		}
	}
	return out.Close()
}

// contextWriter writes for as long as a context lasts.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w *contextWriter) Write(data []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.w.Write(data)
}
