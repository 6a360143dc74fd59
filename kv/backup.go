package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/walnutkv/walnut/snapshot"
)

// Backup writes every pair as of the last visible commit to w, in the format of a snapshot, and returns that commit's
// offset, for Restore. Commits and reads go on meanwhile, and Close doesn't wait for it. What was written is of use only
// if there is no error, which may be ErrClosed, ErrFailed in the relaxed modes, ctx's, or one of w.
func (db *DB) Backup(ctx context.Context, w io.Writer) (offset uint64, err error) {
	shown, header, err := db.durable(ctx)
	if err == nil {
		pace := db.throttle(backupRest)
		err = writeSnapshot(ctx, w, header, db.opts.stateSnapshot(&shown.sum), pace, pace.entries(shown.entries()))
	}
	if err != nil {
		return 0, fmt.Errorf("kv: backup: %w", err)
	}
	db.backedUp.Store(time.Now().UnixNano())
	return shown.offset, nil
}

// BackupSince writes an increment to w: the commits after an offset, which is the one that Backup or the last
// BackupSince returned, up to the last visible one, whose offset it returns. Restore takes it together with that backup.
// If the log holds neither that commit nor a snapshot of it, the error is ErrTruncated, and only a Backup will do; an offset
// after the last commit is ErrOutOfRange. A store that was opened for reading while its writer took a checkpoint may lack a
// part of the log, which is ErrReadOnly; open it again. Other errors are those of Backup.
func (db *DB) BackupSince(ctx context.Context, w io.Writer, from uint64) (offset uint64, err error) {
	shown, _, err := db.durable(ctx)
	if err == nil {
		err = db.backupSince(ctx, w, from, shown.offset)
	}
	if err != nil {
		return 0, fmt.Errorf("kv: backup of the commits after %d: %w", from, orClosed(err))
	}
	db.backedUp.Store(time.Now().UnixNano())
	return shown.offset, nil
}

// durable returns what readers see, and the header of a backup of it, once all of it is durable: an increment that goes on
// from there must find the same commits in the log.
func (db *DB) durable(ctx context.Context) (*state, snapshot.Header, error) {
	if err := db.use(ctx); err != nil {
		return nil, snapshot.Header{}, err
	}
	defer db.inflight.Done()
	shown := db.visible.load()
	if err := db.syncVisible(); err != nil {
		return nil, snapshot.Header{}, err
	}
	return shown, db.stateHeader(shown), nil
}

// syncVisible makes durable what readers see, in the modes in which it may not be.
func (db *DB) syncVisible() error {
	if db.relaxed() {
		return db.log.Sync()
	}
	return nil
}

// stateHeader returns the header of a snapshot or backup of a state. That its last commit's time can't be read is no obstacle.
func (db *DB) stateHeader(s *state) snapshot.Header {
	if db.opts.replicated {
		return snapshot.Header{Kind: kindReplica, ID: db.log.ID(), From: s.accepted, Offset: s.offset, Time: deadlineTime(s.made)}
	}
	made, _ := db.commitTime(s.offset)
	return snapshot.Header{Kind: kindPairs, ID: db.log.ID(), Offset: s.offset, Time: deadlineTime(made)}
}

// commitTime returns when a commit was made, as the log or a snapshot as of that commit knows it; 0 before the first one.
func (db *DB) commitTime(offset uint64) (int64, error) {
	if offset == 0 {
		return 0, nil
	}
	record, err := db.log.Read(offset)
	switch {
	case err == nil:
		return recordTime(record)
	case errors.Is(err, ErrTruncated):
		found := db.snapshots.describe(snapshot.Place{Path: snapshot.Path(db.snapshots.dir, offset)})
		if found.Err == nil {
			return unixNano(found.Time), nil
		}
	}
	return 0, err
}

// backupSince writes the commits after one offset up to another. The header's time is that of the commit before them.
func (db *DB) backupSince(ctx context.Context, w io.Writer, from, last uint64) error {
	switch first := db.log.First(); {
	case from > last:
		return fmt.Errorf("%w: the last offset is %d", ErrOutOfRange, last)
	case from+1 < first:
		return fmt.Errorf("%w: the first offset held is %d", ErrTruncated, first)
	}
	made, err := db.commitTime(from)
	if err != nil {
		return err
	}
	header := snapshot.Header{Kind: kindRecords, ID: db.log.ID(), From: from, Offset: last, Time: deadlineTime(made)}
	var failed error
	err = writeSnapshot(ctx, w, header, db.opts.snapshot(), nil, func(yield func(key, data []byte) bool) {
		if from == last {
			return
		}
		var key [8]byte
		// A log that is only read may end before a snapshot that is shown. Follow waits for more, or says that there is none.
		for record, err := range db.log.Follow(ctx, from+1) {
			if failed = err; err != nil {
				return
			}
			binary.BigEndian.PutUint64(key[:], record.Offset)
			if !yield(key[:], record.Payload) || record.Offset == last {
				return
			}
		}
	})
	return errors.Join(failed, err)
}

// writeSnapshot writes a snapshot to a stream. A ctx that ends stops it.
func writeSnapshot(
	ctx context.Context, w io.Writer, h snapshot.Header, opts snapshot.Options, pace *throttle, entries iter.Seq2[[]byte, []byte],
) error {
	out, err := snapshot.NewWriter(&peerWriter{ctx, w, pace}, h, opts)
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

// peerWriter writes to a peer, as long as a context lasts. The time that the peer takes is no work.
type peerWriter struct {
	ctx  context.Context
	w    io.Writer
	pace *throttle
}

func (w *peerWriter) Write(data []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	started := time.Now()
	n, err := w.w.Write(data)
	if w.pace != nil {
		w.pace.waited += time.Since(started)
	}
	return n, err
}
