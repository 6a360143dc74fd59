package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/walnutkv/walnut/kv"
)

const (
	restoreBatch = 1 << 20 // How many bytes a commit of a restore has at most, unless one pair is larger.
	restoreExtra = 48      // More bytes than a commit has for one mutation besides key and value, or besides all mutations.
)

// Restored is what a restore has changed.
type Restored struct {
	Puts    uint64 // Pairs that were put.
	Deletes uint64 // Pairs that were deleted.
}

// Restore makes the pairs of the cluster those of a backup, of this cluster or any store, on the node that leads. It writes the difference
// as commits, so it is no single step: readers see it happen, and where it breaks off a part is done. To run it again is safe, and goes on.
// What is written meanwhile may stay or not, so writers should be stopped first. The backup is unpacked in the node's directory, which must
// have the room, and is checked whole before anything is changed. Pairs whose deadline has passed are left out.
//
// It ends with the node; Close doesn't wait for it, since the backup may be long in coming. Errors are kv.ErrNotLeader, those of kv.Restore,
// of Linearizable and of commits, and ErrMember while another restore runs here.
func (c *Cluster) Restore(ctx context.Context, backup io.Reader) (done Restored, err error) {
	if !c.Leads() {
		return done, fmt.Errorf("cluster: restore: %w: %w", kv.ErrNotLeader, errNotHere)
	}
	if !c.restoring.TryLock() {
		return done, fmt.Errorf("%w: a restore is in progress", ErrMember)
	}
	defer c.restoring.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	defer func() { err = errors.Join(err, os.RemoveAll(c.unpacked)) }()
	if err := os.RemoveAll(c.unpacked); err != nil {
		return done, fmt.Errorf("cluster: restore: %w", err)
	}
	if _, err := kv.Restore(ctx, backup, c.unpacked, kv.RestoreOptions{Logger: c.opts.Logger}); err != nil {
		return done, c.named("restore", err)
	}
	wanted, err := kv.OpenDiskView(ctx, c.unpacked, kv.Options{Logger: c.opts.Logger})
	if err != nil {
		return done, c.named("restore", err)
	}
	defer func() { err = errors.Join(err, wanted.Close()) }()
	if err := c.Linearizable(ctx); err != nil { // What is held is compared, so nothing that was acknowledged may be missing in it.
		return done, fmt.Errorf("cluster: restore: %w", err)
	}
	held, err := c.DB().ReadView()
	if err != nil {
		return done, fmt.Errorf("cluster: restore: %w", err)
	}
	defer func() { _ = held.Close() }() // It never fails.
	r := &restore{ctx: ctx, db: c.DB(), held: held, limit: restoreBatch}
	if most := c.opts.Store.MaxCommitSize; most > 0 {
		r.limit = min(r.limit, most)
	}
	if err := r.run(wanted.Scan(ctx, kv.Range{})); err != nil {
		return r.done, fmt.Errorf("cluster: restore: after %d puts and %d deletes, more may follow when it is run again: %w", r.done.Puts,
			r.done.Deletes, err)
	}
	return r.done, nil
}

// restore compares what is wanted with what is held, both in the order of their keys.
type restore struct {
	ctx   context.Context
	db    *kv.DB
	held  *kv.ReadView
	limit int // Bytes of a commit.
	batch kv.Batch
	size  int      // No less than the mutations of batch have.
	done  Restored // By commits that were acknowledged.
	next  Restored // With those of batch.
}

func (r *restore) run(wanted iter.Seq2[kv.Pair, error]) error {
	next, stop := iter.Pull2(r.held.Scan(kv.Range{}))
	defer stop()
	key, value, more := next()
	for pair, err := range wanted {
		if err != nil {
			return err
		}
		for more && bytes.Compare(key, pair.Key) < 0 {
			if err := r.delete(key); err != nil {
				return err
			}
			key, value, more = next()
		}
		same := more && bytes.Equal(key, pair.Key)
		if !same || !bytes.Equal(value, pair.Value) || !r.hasDeadline(pair) {
			if err := r.put(pair); err != nil {
				return err
			}
		}
		if same {
			key, value, more = next()
		}
	}
	for ; more; key, value, more = next() {
		if err := r.delete(key); err != nil {
			return err
		}
	}
	return r.commit()
}

// hasDeadline reports whether the pair that is held has the deadline that is wanted.
func (r *restore) hasDeadline(wanted kv.Pair) bool {
	deadline, err := r.held.Deadline(wanted.Key)
	return err == nil && deadline.Equal(wanted.Deadline)
}

func (r *restore) put(p kv.Pair) error {
	if err := r.makeRoom(len(p.Key) + len(p.Value)); err != nil {
		return err
	}
	r.batch.PutDeadline(p.Key, p.Value, p.Deadline)
	r.next.Puts++
	return nil
}

func (r *restore) delete(key []byte) error {
	if err := r.makeRoom(len(key)); err != nil {
		return err
	}
	r.batch.Delete(key)
	r.next.Deletes++
	return nil
}

// makeRoom commits what was collected if a mutation would be too much besides. A commit that is over its limit could only be refused, for good.
func (r *restore) makeRoom(bytes int) error {
	bytes += restoreExtra
	if r.size+bytes+restoreExtra > r.limit {
		if err := r.commit(); err != nil {
			return err
		}
	}
	r.size += bytes
	return nil
}

// commit commits what was collected. A commit that was refused since another one came before it is made again.
func (r *restore) commit() error {
	if r.batch.Len() == 0 {
		return nil
	}
	for {
		_, err := r.db.ApplyContext(r.ctx, &r.batch)
		if err == nil {
			break
		}
		if !errors.Is(err, kv.ErrConflict) || r.ctx.Err() != nil {
			return err
		}
	}
	r.done, r.size = r.next, 0
	r.batch.Reset()
	return nil
}
