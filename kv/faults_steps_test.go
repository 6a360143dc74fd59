package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// faultSteps are the workload.
var faultSteps = []func(r *faultRun){
	(*faultRun).puts,
	(*faultRun).batches,
	(*faultRun).transactions,
	(*faultRun).fillSegments,
	(*faultRun).follow,
	(*faultRun).takeCheckpoint,
	(*faultRun).expire,
	(*faultRun).makeBackup,
	(*faultRun).deleteRange,
	(*faultRun).syncNow,
	(*faultRun).fillSegments,
	(*faultRun).makeIncrement,
	(*faultRun).takeCheckpoint,
	(*faultRun).makeRestore,
	(*faultRun).look,
	(*faultRun).idle,
	(*faultRun).puts,
}

func mutationPut(key, value string) Mutation {
	return Mutation{Kind: MutationPut, Key: []byte(key), Value: []byte(value)}
}

func (r *faultRun) puts() {
	for i := range 2 {
		r.apply(mutationPut(fmt.Sprint("put", i), fmt.Sprint(r.last())))
	}
}

func (r *faultRun) batches() {
	r.apply(mutationPut("batch1", "x"), Mutation{Kind: MutationDelete, Key: []byte("put0")}, mutationPut("batch2", fmt.Sprint(r.last())))
}

// transactions counts up.
func (r *faultRun) transactions() {
	next := fmt.Sprint(len(r.pairs()["count"].value) + 1)
	count := r.pairs()["count"].value + next
	r.commit([]Mutation{mutationPut("count", count), mutationPut("last", next)}, func() (uint64, error) {
		return r.db.UpdateOffset(context.Background(), func(tx *Tx) error {
			before, err := tx.Get([]byte("count"))
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			return errors.Join(tx.Put([]byte("count"), append(bytes.Clone(before), next...)), tx.Put([]byte("last"), []byte(next)))
		})
	})
}

// fillSegments lets the log roll.
func (r *faultRun) fillSegments() {
	for i := range 5 {
		r.apply(mutationPut(fmt.Sprint("large", i%3), fmt.Sprint(r.last(), strings.Repeat("-", 1200))))
	}
}

// expire lets a pair expire, and sweeps it. The model lets it expire by the same clock.
func (r *faultRun) expire() {
	deadline := time.Now().Add(time.Second)
	r.apply(Mutation{Kind: MutationPut, Key: []byte("session"), Value: []byte("s"), Deadline: deadline}, mutationPut("stays", "s"))
	time.Sleep(2 * time.Second)
	if r.failed || r.pairs()["session"].deadline == 0 {
		return
	}
	r.commit([]Mutation{{Kind: MutationDelete, Key: []byte("session")}}, func() (uint64, error) {
		offset, _, err := r.db.sweep(10, false)
		return offset, err
	})
}

func (r *faultRun) deleteRange() {
	r.apply(Mutation{Kind: MutationDeleteRange, Key: []byte("batch"), End: []byte("c")})
	r.apply(Mutation{Kind: MutationDelete, Key: []byte("nothing")})
}

func (r *faultRun) syncNow() {
	err := r.db.Sync()
	if !r.explained("sync", err) {
		r.durable = r.last()
	}
	r.failed = r.failed || errors.Is(err, ErrFailed)
}

// takeCheckpoint takes one, which truncates the log into the archive.
func (r *faultRun) takeCheckpoint() {
	offset, err := r.db.Checkpoint(r.Context())
	if r.explained("checkpoint", err) {
		r.failed = r.failed || errors.Is(err, ErrFailed)
		return
	}
	if offset != r.last() {
		r.fails("the checkpoint is of %d, want %d", offset, r.last())
	}
	r.durable = r.last()
}

func (r *faultRun) makeBackup() {
	var out bytes.Buffer
	offset, err := r.db.Backup(r.Context(), &out)
	if !r.explained("backup", err) {
		r.backup, r.backedUp = out.Bytes(), offset
	}
}

func (r *faultRun) makeIncrement() {
	var out bytes.Buffer
	if r.backup == nil {
		return
	}
	offset, err := r.db.BackupSince(r.Context(), &out, r.backedUp)
	if !r.explained("increment", err) {
		r.increment, r.incrementedTo = out.Bytes(), offset
	}
}

// makeRestore restores beside the store. Where that fails, nothing may pass for a store.
func (r *faultRun) makeRestore() {
	if r.backup == nil {
		return
	}
	_, err := r.restore(r.disk.Mem)
	if r.restored = !r.explained("restore", err); r.restored || r.disk.fault.lasts {
		return
	}
	opts := memOptions(r.disk.Mem)
	opts.ReadOnly = true
	if _, err := Open(faultRestored, opts); !errors.Is(err, ErrNotStore) {
		r.fails("a restore has failed, and what it left opens with %v", err)
	}
}

// follow opens the store as another process would that keeps up with it. What it shows is what the writer has, and it comes to show all of
// it, or says why not.
func (r *faultRun) follow() {
	opts := following(r.opts)
	db, err := Open(storeDir, opts)
	r.trustSeldom()
	if r.explained("follow", err) {
		return
	}
	r.opened(db)
	r.watch(db)
	r.apply(mutationPut("followed", fmt.Sprint(r.last())))
	for started := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		synctest.Wait()
		r.shows(db, "following", 0)
		if failed := db.Stats().Failed; failed != nil {
			r.explained("following", failed)
			break
		}
		if db.Offset() == r.last() {
			break
		}
		if time.Since(started) > time.Minute {
			r.fails("a follower still shows %d of %d, and doesn't say why", db.Offset(), r.last())
		}
	}
	r.explained("close of a follower", db.Close())
	r.trustSeldom()
}

// trustSeldom forgets about a reader's sync that has failed, in the modes in which the writer need not have met that error yet.
func (r *faultRun) trustSeldom() {
	if r.opts.Sync != SyncAlways {
		r.disk.trust()
	}
}

// look reads the store in other ways: a past state, and its files.
func (r *faultRun) look() {
	past, err := r.db.At(r.Context(), r.last())
	if !r.explained("at", err) {
		r.same("a past state", lines(past.Scan(Range{})))
		require.NoError(r, past.Close())
	}
	defer r.trustSeldom()
	view, err := OpenDiskView(r.Context(), storeDir, r.opts)
	if r.explained("view of the files", err) {
		return
	}
	var got []string
	for pair, scanned := range view.Scan(r.Context(), Range{}) {
		if err = scanned; err == nil {
			got = append(got, fmt.Sprintf("%s=%s", pair.Key, pair.Value))
		}
	}
	if !r.explained("scan of the files", err) {
		r.same("the files", got)
	}
	r.explained("close of a view", view.Close())
}

// same requires the pairs of now.
func (r *faultRun) same(what string, got []string) {
	r.Helper()
	if want := r.pairs().lines(Range{}, time.Now().UnixNano()); !slices.Equal(want, got) {
		r.fails("%s has %q, want %q", what, got, want)
	}
}

// idle lets the log write the mark that proves its last records durable.
func (r *faultRun) idle() { time.Sleep(3 * time.Second) }
