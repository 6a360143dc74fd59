package kv

import (
	"fmt"
	"math"
	"time"
)

// afterTTL returns the deadline of a pair that lives for a time from an instant on. The latest there is stands for later ones.
func afterTTL(now int64, ttl time.Duration) (deadline time.Time, err error) {
	if ttl <= 0 {
		return deadline, fmt.Errorf("%w: %v", ErrInvalidTTL, ttl)
	}
	return time.Unix(0, now+min(int64(ttl), math.MaxInt64-max(now, 0))), nil
}

// PutTTL is Put for a pair that is visible for a time only; its deadline is the store's time, which never goes back, plus ttl.
// Some time after that, as a rule within a second, the store deletes the pair by itself. A ttl that isn't positive is
// ErrInvalidTTL.
func (db *DB) PutTTL(key, value []byte, ttl time.Duration) (offset uint64, err error) {
	deadline, err := afterTTL(db.now(), ttl)
	if err != nil {
		return 0, err
	}
	return db.applySingle(Mutation{Kind: MutationPut, Key: key, Value: value, Deadline: deadline})
}

// PutTTL is PutDeadline for a pair that is visible for a time only, which begins with the transaction. It is the store's time,
// which never goes back. Errors are those of Put, and ErrInvalidTTL where ttl isn't positive.
func (tx *Tx) PutTTL(key, value []byte, ttl time.Duration) error {
	deadline, err := afterTTL(tx.now, ttl)
	if err != nil {
		return err
	}
	return tx.PutDeadline(key, value, deadline)
}

// PutTTL is PutDeadline for a pair that is visible for a time only. A batch knows no store: the time begins with this call, not
// when the batch is applied, and is the system's. A ttl that isn't positive makes the mutation one over a limit, with ErrInvalidTTL.
func (b *Batch) PutTTL(key, value []byte, ttl time.Duration) {
	if deadline, err := afterTTL(time.Now().UnixNano(), ttl); !b.refuse(err) {
		b.PutDeadline(key, value, deadline)
	}
}

// Deadline returns the instant from which on the pair of a key is invisible, the zero time where it has none. It is as of the
// last visible commit. Errors are those of Get: a pair whose deadline has passed is ErrNotFound.
func (db *DB) Deadline(key []byte) (time.Time, error) {
	if err := checkKey(key); err != nil {
		return time.Time{}, err
	}
	return db.visible.deadline(key, db.now)
}

// Deadline returns the instant from which on the pair of a key is invisible, the zero time where it has none. Errors are those
// of Get: a pair whose deadline has passed by the instant that is read is ErrNotFound.
func (r *reader) Deadline(key []byte) (time.Time, error) {
	seen := r.state.Load()
	if seen == nil {
		return time.Time{}, ErrTxDone
	}
	if err := checkKey(key); err != nil {
		return time.Time{}, err
	}
	if r.update != nil {
		if m := r.update.pendingFor(key); m != nil {
			if _, err := m.outcome(r.now); err != nil {
				return time.Time{}, err
			}
			return m.Deadline, nil
		}
	}
	return seen.deadline(key, func() int64 { return r.now })
}

// deadline is DB.Deadline.
func (v *visibleState) deadline(key []byte, now func() int64) (time.Time, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil {
		return time.Time{}, ErrClosed
	}
	return v.current.deadline(key, now)
}

// deadline is get for a pair's deadline.
func (s *state) deadline(key []byte, now func() int64) (time.Time, error) {
	it, found := s.tree.get(key)
	if !found || it.hasDeadline() && it.expired(now()) {
		return time.Time{}, ErrNotFound
	}
	return deadlineTime(it.deadline()), nil
}
