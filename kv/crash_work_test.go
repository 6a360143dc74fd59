package kv

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// crashBackup is a backup or an increment that a workload has taken.
type crashBackup struct {
	data   []byte
	offset uint64
}

// step does one thing to the store. Where a call of it fails, or one before it has failed, the process may end.
func (r *crashRun) step() {
	r.note(func(p *crashPromise) { p.coming = nil })
	var err error
	switch n := r.random.IntN(40); {
	case n < 10:
		err = r.apply()
	case n < 14:
		err = r.update()
	case n < 17:
		err = r.burst()
	case n < 22:
		r.pass()
	case n < 24:
		if err = r.db.Sync(); err == nil {
			r.note(func(p *crashPromise) { p.durable = max(p.durable, p.acknowledged) })
		}
	case n < 28:
		_, err = r.db.Checkpoint(r.t.Context())
	case n < 31:
		err = r.backup()
	case n < 32:
		r.restore()
	case n < 37:
		r.reopen(r.random.IntN(4))
	default:
		r.mu.Lock()
		r.fail, r.short = 1+r.random.IntN(12), r.random.IntN(5000)
		r.mu.Unlock()
	}
	r.settle(err)
}

// settle ends a step: what it did is known, and a failure is followed by the end of the process or by nothing.
func (r *crashRun) settle(err error) {
	failed := r.hasFailed()
	require.True(r.t, err == nil || failed || r.broken, "%s: no call has failed: %v", r.replay(), err)
	if r.learnFrom(r.db); r.db.Stats().Failed != nil || failed && r.random.IntN(2) == 0 {
		r.reopen(2)
		return
	}
	shown, durable := r.db.Offset(), r.db.log.Durable()
	r.note(func(p *crashPromise) {
		p.durable, p.acknowledged = max(p.durable, durable), max(p.acknowledged, shown)
		if r.opts.Sync == SyncAlways {
			p.durable = max(p.durable, shown)
		}
	})
}

// draw draws a batch. Its deadlines lie about when the sweeper looks, which is twice a second, and some in one unit of the index with that.
func (r *crashRun) draw() *Batch {
	now := time.Now().UnixNano()
	b := randomBatch(r.random, now)
	if r.random.IntN(12) == 0 {
		b.Put([]byte("large"), randomBytes(r.random, 1000, 6000))
	}
	if r.random.IntN(2) == 0 {
		look := now + int64(sweepEvery)*int64(r.random.IntN(4))
		b.PutDeadline(randomKey(r.random), []byte("session"), time.Unix(0, look+r.random.Int64N(2*deadlineKeyMask)-deadlineKeyMask))
	}
	return b
}

// begin notes commits that are about to be made.
func (r *crashRun) begin(batches ...*Batch) {
	r.note(func(p *crashPromise) {
		p.coming = slices.Clip(p.coming)
		for _, b := range batches {
			p.coming = append(p.coming, mutationsOf(b))
		}
	})
}

// ended notes what came of a commit.
func (r *crashRun) ended(offset uint64, err error) error {
	if err == nil {
		r.note(func(p *crashPromise) {
			if p.acknowledged = max(p.acknowledged, offset); r.opts.Sync == SyncAlways {
				p.durable = max(p.durable, offset)
			}
		})
	}
	return err
}

func (r *crashRun) apply() error {
	b := r.draw()
	r.begin(b)
	return r.ended(r.db.Apply(b))
}

// errNoUpdate ends an Update that must change nothing.
var errNoUpdate = errors.New("the update changes nothing")

// update writes in a transaction, which sometimes fails.
func (r *crashRun) update() error {
	b, gone := r.draw(), r.random.IntN(4) == 0
	if !gone {
		r.begin(b)
	}
	offset, err := r.db.UpdateOffset(r.t.Context(), func(tx *Tx) error {
		for _, m := range mutationsOf(b) {
			var err error
			switch m.Kind {
			case MutationPut:
				err = tx.PutDeadline(m.Key, m.Value, m.Deadline)
			case MutationDelete:
				err = tx.Delete(m.Key)
			case MutationDeleteRange:
				err = tx.DeleteRange(m.Key, m.End)
			}
			if err != nil {
				return err
			}
		}
		if gone {
			return errNoUpdate
		}
		return nil
	})
	if gone && errors.Is(err, errNoUpdate) {
		return nil
	}
	return r.ended(offset, err)
}

// burst lets several goroutines commit at the same time.
func (r *crashRun) burst() error {
	batches := make([]*Batch, 2+r.random.IntN(3))
	for i := range batches {
		batches[i] = r.draw()
	}
	r.begin(batches...)
	var writers sync.WaitGroup
	failures := make([]error, len(batches))
	for i, b := range batches {
		writers.Go(func() { failures[i] = r.ended(r.db.Apply(b)) })
	}
	writers.Wait()
	return errors.Join(failures...)
}

// pass lets time pass: enough for the sweeper to delete all that has expired, or less.
func (r *crashRun) pass() {
	if r.random.IntN(2) == 0 {
		time.Sleep(time.Duration(r.random.IntN(8)) * sweepEvery / 4)
		return
	}
	time.Sleep(3 * sweepEvery)
	synctest.Wait()
	if r.learnFrom(r.db); r.db.Stats().Failed == nil {
		r.mu.Lock()
		left, failed := r.after[len(r.after)-1].pairs.swept(time.Now().Add(-sweepEvery-100*time.Millisecond).UnixNano()), r.failed
		r.mu.Unlock()
		require.True(r.t, failed || left == 0, "%s: %d pairs that expired were not swept", r.replay(), left)
	}
}

// swept counts the pairs that sweeps delete at an instant.
func (m model) swept(now int64) (count int) {
	for _, pair := range m {
		if pair.deadline != 0 && pair.deadline|deadlineKeyMask <= now {
			count++
		}
	}
	return count
}

// backup takes a backup, or an increment to the last one. Its commits are promised.
func (r *crashRun) backup() error {
	var data bytes.Buffer
	var offset uint64
	var err error
	chain := r.promise.backups
	if len(chain) == 0 || r.random.IntN(3) == 0 {
		chain = nil
		offset, err = r.db.Backup(r.t.Context(), &data)
	} else if offset, err = r.db.BackupSince(r.t.Context(), &data, chain[len(chain)-1].offset); errors.Is(err, ErrTruncated) {
		return nil
	}
	if err == nil {
		r.note(func(p *crashPromise) {
			p.durable, p.backups = max(p.durable, offset), append(slices.Clip(chain), crashBackup{data.Bytes(), offset})
		})
	}
	return err
}

// readBackups returns readers of backups.
func readBackups(chain []crashBackup) (whole io.Reader, increments []io.Reader) {
	for _, increment := range chain[1:] {
		increments = append(increments, bytes.NewReader(increment.data))
	}
	return bytes.NewReader(chain[0].data), increments
}

// restore closes the store, restores one from the backups, its log and its archive in another directory, and goes on with that.
func (r *crashRun) restore() {
	backups := r.promise.backups
	if len(backups) == 0 || backups[len(backups)-1].offset == 0 || r.promise.dir != storeDir {
		return
	}
	r.close()
	archive := []string{storeDir + "/" + walName}
	if names, err := r.mem.List(r.promise.archive); r.promise.archive != "" && err == nil && len(names) > 0 {
		archive = append(archive, r.promise.archive)
	}
	least, most := max(1, backups[0].offset), r.promise.acknowledged
	to := least + r.random.Uint64N(most-least+1)
	if r.promise.archive == "" {
		to = min(to, backups[len(backups)-1].offset) // The log may begin after that.
		archive = nil
	}
	fresh := crashPromise{dir: storeDir + "-restored", first: to + 1, durable: to, acknowledged: to, restored: true}
	r.note(func(p *crashPromise) { *p = fresh })
	for tries := 0; ; tries++ {
		whole, increments := readBackups(backups)
		_, err := Restore(r.t.Context(), whole, fresh.dir, RestoreOptions{Increments: increments, Archive: archive, ToOffset: to, fs: r.mem})
		if failed := r.hasFailed(); err == nil || tries > 0 || !failed {
			r.require(err, "restore to ", to)
			break
		}
	}
	r.judgeTaken() // Before the history is that of the restored store.
	r.note(func(p *crashPromise) { p.restored = false })
	if r.seed%2 == 1 {
		r.note(func(p *crashPromise) { p.archive = fresh.dir + "-archive" })
	}
	r.open()
}

// reopen ends the process and begins the next one: 0 and 1 close the store, 2 kills the process, and 3 cuts the power.
func (r *crashRun) reopen(kind int) {
	if kind < 2 {
		r.close()
		r.open()
		return
	}
	r.mu.Lock()
	left := r.mem.Exit
	if kind == 3 {
		r.calls++
		lot, policy := r.seed<<32+r.calls<<4+15, vfs.Policies[r.random.IntN(len(vfs.Policies))]
		left = func() *vfs.Mem { return r.mem.Crash(lot, policy) }
		r.promise.acknowledged = r.promise.durable
	}
	next := left()
	r.over = true // A goroutine may be waiting in the hook.
	r.mem.SetHook(nil)
	r.mu.Unlock()
	r.learnFrom(r.db)
	r.judgeTaken()
	_ = r.db.Close()
	r.leave()
	r.moveTo(next)
	r.open()
}

// close closes the store, which makes all durable unless a call fails.
func (r *crashRun) close() {
	err := r.db.Close()
	r.leave()
	if failed := r.hasFailed(); err != nil {
		require.True(r.t, failed || r.broken, "%s: close: %v", r.replay(), err)
	} else {
		r.note(func(p *crashPromise) { p.durable = p.acknowledged })
	}
	r.judgeTaken()
}

// leave ends those that look on.
func (r *crashRun) leave() {
	if r.follower != nil {
		_ = r.follower.Close()
	}
	r.follower = nil
	r.watchers.Wait()
}

// hasFailed reports whether a call has failed since it was asked last.
func (r *crashRun) hasFailed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	failed := r.failed
	r.failed = false
	return failed
}

// open opens the store under options that it draws, again where a call fails. It lets a watcher and a follower look on.
func (r *crashRun) open() {
	o := &r.opts
	o.Sync, o.SyncInterval = SyncMode(r.random.IntN(3)), []time.Duration{0, time.Hour}[r.random.IntN(2)]
	o.SegmentSize = []int64{4 << 10, 4 << 10, 6 << 10, 16 << 10}[r.random.IntN(4)]
	o.CheckpointFactor, o.CheckpointFloor = []float64{-1, 0.1}[r.random.IntN(2)], 2000
	o.CheckpointOnClose, o.LogKept = r.random.IntN(3) == 0, r.random.Int64N(2)*5000
	o.SnapshotsKept = []int{1, 2, 2, 2, 3}[r.random.IntN(5)]
	o.SnapshotCompression = []Compression{CompressionNone, CompressionS2}[r.random.IntN(2)] // Zstd's encoders wait for one another across bubbles.
	o.ArchiveDir = r.promise.archive
	r.fullKept = r.fullKept && o.SnapshotsKept > 1
	for {
		r.note(func(*crashPromise) { r.broken = false })
		db, err := Open(r.promise.dir, r.opts)
		failed := r.hasFailed()
		if r.db = db; err == nil {
			break
		}
		require.True(r.t, failed, "%s: open: %v", r.replay(), err)
		r.judgeTaken()
		r.moveTo(r.mem.Exit())
	}
	r.opensTo(r.db.Offset(), r.db.log.Durable())
	r.learnFrom(r.db)
	if r.random.IntN(2) == 0 {
		from := r.promise.first + r.random.Uint64N(r.db.Offset()+2-r.promise.first)
		r.watch(r.db, from, r.opts.Sync == SyncAlways)
	}
	if r.random.IntN(3) == 0 {
		r.follow()
	}
}

// opensTo notes what the store shows after it was opened. What it doesn't show is gone.
func (r *crashRun) opensTo(shown, durable uint64) {
	r.note(func(p *crashPromise) {
		require.GreaterOrEqual(r.t, shown, p.acknowledged, "%s: opened", r.replay())
		r.after = r.after[:min(shown+1, uint64(len(r.after)))]
		if p.acknowledged, p.durable = shown, max(p.durable, durable); r.opts.Sync == SyncAlways {
			p.durable = shown
		}
	})
}

// follow opens the store for reading in what stands for another process, which follows it.
func (r *crashRun) follow() {
	opts := r.opts
	opts.ReadOnly, opts.Follow = true, true
	follower, err := Open(r.promise.dir, opts)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		require.True(r.t, r.failed, "%s: open to follow: %v", r.replay(), err)
		return
	}
	r.follower = follower
	r.note(func(p *crashPromise) { p.durable = max(p.durable, follower.Offset()) })
	r.watch(follower, follower.Offset()+1, true)
}

// watch lets a watcher look on until the store is closed. What it is given is promised, where that is durable.
func (r *crashRun) watch(db *DB, from uint64, promised bool) {
	commits := db.Watch(r.t.Context(), WatchOptions{From: from})
	r.watchers.Go(func() { r.watched(commits, from, promised) })
}

func (r *crashRun) watched(commits iter.Seq2[Commit, error], next uint64, promised bool) {
	for c, err := range commits {
		if err != nil {
			r.note(func(p *crashPromise) {
				ends := errors.Is(err, ErrClosed) || errors.Is(err, ErrTruncated) && p.archive == "" || errors.Is(err, ErrFailed) || r.failed || r.broken
				assert.True(r.t, ends, "%s: watch: %v", r.replay(), err)
			})
			return
		}
		assert.Equal(r.t, next, c.Offset, "%s: watch", r.replay())
		next++
		r.note(func(p *crashPromise) {
			if promised {
				p.durable = max(p.durable, c.Offset)
			}
			if c.Offset < uint64(len(r.after)) {
				seen, _, err := r.after[c.Offset-1].explain(c, nil)
				assert.True(r.t, err == nil || seen.pairs != nil, "%s: watch: %v", r.replay(), err)
				assert.Equal(r.t, r.after[c.Offset].pairs, seen.pairs, "%s: a watcher is given another commit %d", r.replay(), c.Offset)
			}
		})
	}
}
