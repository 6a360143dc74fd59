package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// pendingMax is how many mutations a transaction looks through for a key. With more it makes a tree with them: in a clone of head
// each put copies its path through the tree. (BenchmarkUpdate: 256 reads and writes took a quarter less time, and a sixth of the
// memory, looked through than in a clone; the fewer, the larger the difference.)
const pendingMax = 128

// Tx is a transaction: what the function given to DB.Update or DB.View reads and writes. It sees one instant, and in an
// Update its own writes besides. What it hands out is read-only and stays valid for good.
//
// A Tx ends with its function. From then on its methods return ErrTxDone, starting a Scan panics with it, and an
// iteration in progress yields nothing more. In an Update it belongs to the function's goroutine; in a View any number of
// goroutines may use it, until the function ends.
type Tx struct{ reader }

// update is the other half of a Tx that writes. Its mutations lie in the batch, where Get finds them, until something
// needs them in order or they are many; then a clone of head takes them, so that a transaction that fails is simply dropped.
//
// Invariant: Tx.state has all mutations of the batch but the pending ones. It is head, and all are pending, unless owned is
// set.
type update struct {
	batch   Batch
	pending []Mutation // They point into memory of the batch, also into what it has left.
	owned   bool       // Tx.state is a clone, which nothing else has.
	scans   int        // Iterations in progress over Tx.state, which must not be changed meanwhile.
	sizeMax int        // Of the commit in bytes, encoded.
	indexes []Index    // Whose functions are tried on every put.

	read    uint64 // The offset of head.
	refusal error  // What the function returned.
}

// updates holds updates for use again.
var updates = sync.Pool{New: func() any { return new(update) }}

// recycle gives an update back, but for the memory of a large one.
func (u *update) recycle() {
	if cap(u.batch.record) > inPlaceBytes || cap(u.pending) > 2*pendingMax {
		return
	}
	u.batch.Reset()
	*u = update{batch: u.batch, pending: u.pending[:0]}
	updates.Put(u)
}

// Update runs a function in a transaction that may write, and makes one commit of what it wrote. Update transactions run
// one after another, each on the state that the last one left, so that what a function reads is still so when its commit
// happens. Update returns once the commit is acknowledged and visible, as Apply does; the next function runs while the
// disk works for the last.
//
// If the function returns an error, or panics, nothing is changed. Its error is returned as it is. A function that wrote
// nothing makes no commit, but like one that returned an error it is answered only once what it read is acknowledged.
// Where that fails, the error is both, the function's and ErrFailed. Other errors are those of Apply.
//
// The function should be short, since all writers wait for it, and must be free of effects that a failed commit can't
// undo. View, Get and Scan of the store show it the last visible state rather than the transaction's. It must not commit to the
// store, nor checkpoint or close it, nor wait for another goroutine that does: all of these wait for the function, and so
// deadlock, unless they have a context that ends. Nesting two stores both ways deadlocks as well.
func (db *DB) Update(fn func(tx *Tx) error) error { return db.UpdateContext(context.Background(), fn) }

// UpdateContext is Update for a caller that may give up waiting, as with ApplyContext. The function is not interrupted. If ctx
// was done before it ended, nothing was changed. Afterwards, what it read may not be durable yet when UpdateContext returns.
func (db *DB) UpdateContext(ctx context.Context, fn func(tx *Tx) error) error {
	_, err := db.UpdateOffset(ctx, fn)
	return err
}

// UpdateOffset is UpdateContext that also returns the offset of the commit, for At, BackupSince or a reader that waits for it by Watch.
// Where the function wrote nothing, the offset is that of the last commit before it. It is 0 where there is an error.
func (db *DB) UpdateOffset(ctx context.Context, fn func(tx *Tx) error) (offset uint64, err error) {
	u := updates.Get().(*update)
	u.sizeMax, u.indexes = db.opts.MaxCommitSize, db.opts.Indexes
	tx := &Tx{reader{update: u}}
	over := false
	defer func() {
		if !over && !db.relaxed() { // It panicked: what it has made known of what it read must be durable.
			_ = db.log.Wait(u.read)
		}
	}()
	offset, err = db.commit(ctx, &u.batch, func() (worked *state, err error) {
		u.read = db.last
		tx.now = db.now() // No earlier than head: what a sweep deleted had expired by then, and so has the rest.
		if worked = tx.run(db.head(), fn); u.refusal != nil {
			u.batch.Reset() // What the function says rests on what it read, so it waits as a reader does.
		} else if err = ctx.Err(); err != nil {
			err = fmt.Errorf("kv: commit refused, nothing was changed: %w", err)
		}
		return worked, err
	})
	over = true
	refusal := u.refusal
	u.recycle()
	switch {
	case refusal != nil && err != nil:
		return 0, errors.Join(refusal, err)
	case refusal != nil:
		return 0, refusal
	}
	return offset, err
}

// run runs the function of an Update on head and returns the state that it made of that, nil where its mutations are still
// to be applied. However the function ends, the transaction is over then.
func (tx *Tx) run(head *state, fn func(tx *Tx) error) *state {
	tx.state.Store(head)
	defer tx.state.Store(nil)
	tx.update.refusal = fn(tx)
	if tx.update.refusal != nil || !tx.update.owned {
		return nil
	}
	return tx.applied()
}

// View runs a function in a transaction that reads the last visible state, and returns the function's error as it is. It waits
// for no writer and makes none wait, however long it takes. It goes on working when the store is closed meanwhile. The error is
// ErrClosed where it was closed before.
func (db *DB) View(fn func(tx *Tx) error) error {
	view, err := db.ReadView()
	if err != nil {
		return err
	}
	defer view.Close()
	return fn((*Tx)(view))
}

// Writable reports whether the transaction may write, as that of an Update may.
func (tx *Tx) Writable() bool { return tx.update != nil }

// Put gives the key the value; a nil value is an empty one. Both are copied. The error is ErrEmptyKey, ErrKeyTooLarge,
// ErrValueTooLarge, ErrCommitTooLarge where the transaction as a whole would become too large, ErrIndex, ErrTxReadOnly or ErrTxDone.
// A put that was refused changes nothing, and the transaction goes on.
func (tx *Tx) Put(key, value []byte) error { return tx.PutDeadline(key, value, time.Time{}) }

// PutDeadline is Put for a pair that is invisible from an instant on, as Batch.PutDeadline has it.
func (tx *Tx) PutDeadline(key, value []byte, deadline time.Time) error {
	return tx.write(func(b *Batch) { b.PutDeadline(key, value, deadline) })
}

// Delete removes the key. That the key is absent is no error. Errors are those of Put.
func (tx *Tx) Delete(key []byte) error { return tx.write(func(b *Batch) { b.Delete(key) }) }

// DeleteRange is Batch.DeleteRange. Unlike for DB.Apply, other writers wait while it removes keys. Errors are those of Put.
func (tx *Tx) DeleteRange(start, end []byte) error {
	return tx.write(func(b *Batch) { b.DeleteRange(start, end) })
}

// write takes one mutation, which add gives to the batch.
func (tx *Tx) write(add func(b *Batch)) error {
	switch {
	case tx.state.Load() == nil:
		return ErrTxDone
	case tx.update == nil:
		return ErrTxReadOnly
	}
	if err := tx.update.add(tx.now, add); err != nil {
		return fmt.Errorf("kv: write in a transaction refused: %w", err)
	}
	if tx.update.owned || len(tx.update.pending) > pendingMax {
		tx.applied()
	}
	return nil
}

// add lets a mutation be added to the batch, and takes it out again where the commit would become too large.
func (u *update) add(now int64, add func(b *Batch)) error {
	before := u.batch
	add(&u.batch)
	if err := u.batch.err; err != nil {
		u.batch.err = nil
		return err
	}
	var added Mutation
	var refusal error
	if size := len(u.batch.recordAt(now)); size > u.sizeMax {
		refusal = tooLarge(size, u.sizeMax)
	} else {
		added.next(u.batch.record[max(len(before.record), recordHeadRoom):])
		refusal = added.checkIndexed(u.indexes)
	}
	if refusal != nil {
		u.batch.record, u.batch.count, u.batch.ranges = before.record, before.count, before.ranges
		return refusal
	}
	u.pending = append(u.pending, added)
	return nil
}

// pendingFor returns the last pending mutation that decides a key, nil where none does.
func (u *update) pendingFor(key []byte) *Mutation {
	for i := range slices.Backward(u.pending) {
		if u.pending[i].decides(key) {
			return &u.pending[i]
		}
	}
	return nil
}

// decides reports whether a key's pair, or that it has none, is what the mutation made of it.
func (m *Mutation) decides(key []byte) bool {
	if m.Kind == MutationDeleteRange {
		return bytes.Compare(m.Key, key) <= 0 && (len(m.End) == 0 || bytes.Compare(key, m.End) < 0)
	}
	return bytes.Equal(m.Key, key)
}

// outcome returns what a Get of a key finds at an instant when the mutation decides the key.
func (m *Mutation) outcome(now int64) ([]byte, error) {
	deadline := unixNano(m.Deadline)
	if m.Kind != MutationPut || (deadline != 0 && deadline <= now) {
		return nil, ErrNotFound
	}
	return append([]byte{}, m.Value...), nil // The batch's memory is used again.
}
