package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/walnutkv/walnut/kv"
)

var (
	// errNone reports that no job is ready.
	errNone = errors.New("no job is ready")
	// errLost reports a job whose lease has ended: another worker has it, or has had it.
	errLost = errors.New("the lease has ended")
)

var (
	waiting = []byte("job/")  // Then the time from which on the job may be taken, and its number.
	dead    = []byte("dead/") // Then its number: jobs that failed too often.
	counter = []byte("next")
)

// queue is jobs in the order of the times from which on they may be taken.
//
// Invariant: a job has one key. To lease it moves it to the time at which the lease ends, so a job whose worker died comes
// back by itself, and a worker that holds the key of a job holds its lease.
type queue struct {
	db          *kv.DB
	lease       time.Duration // How long a worker may take.
	backoff     time.Duration // How long a job waits after its first failure; twice as long after each further one.
	maxAttempts int
	now         func() time.Time
}

// job is a job that a worker has leased.
type job struct {
	key     []byte
	Number  uint64
	Attempt int // 1 for the first.
	Payload string
}

func jobKey(at time.Time, number uint64) []byte {
	key := binary.BigEndian.AppendUint64(append([]byte(nil), waiting...), uint64(at.UnixNano()))
	return binary.BigEndian.AppendUint64(key, number)
}

// readyAt returns the time in a job's key.
func readyAt(key []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(key[len(waiting):])))
}

func put(tx *kv.Tx, key []byte, j job) error {
	value, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return tx.Put(key, value)
}

// push adds a job, which is durable when push returns.
func (q *queue) push(ctx context.Context, payload string) error {
	return q.db.UpdateContext(ctx, func(tx *kv.Tx) error {
		j := job{Number: 1, Payload: payload}
		last, err := tx.Get(counter)
		if err == nil {
			j.Number = binary.BigEndian.Uint64(last) + 1
		} else if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		if err := tx.Put(counter, binary.BigEndian.AppendUint64(nil, j.Number)); err != nil {
			return err
		}
		return put(tx, jobKey(q.now(), j.Number), j)
	})
}

// take leases the first job that is ready. The error is errNone where none is.
func (q *queue) take(ctx context.Context) (j job, err error) {
	err = q.db.UpdateContext(ctx, func(tx *kv.Tx) error {
		key, value, err := tx.First(kv.Range{Prefix: waiting})
		if errors.Is(err, kv.ErrNotFound) || err == nil && readyAt(key).After(q.now()) {
			return errNone
		}
		if err != nil {
			return err
		}
		if err := json.Unmarshal(value, &j); err != nil {
			return fmt.Errorf("job %x: %w", key, err)
		}
		j.Attempt++
		j.key = jobKey(q.now().Add(q.lease), j.Number)
		return errors.Join(tx.Delete(key), put(tx, j.key, j))
	})
	return j, err
}

// settle ends a lease: with a nil key the job is done, and else it moves there. The error is errLost where the lease has ended.
func (q *queue) settle(ctx context.Context, j job, to []byte) error {
	return q.db.UpdateContext(ctx, func(tx *kv.Tx) error {
		held, err := tx.Has(j.key)
		if err != nil {
			return err
		}
		if !held {
			return errLost
		}
		if err := tx.Delete(j.key); err != nil || to == nil {
			return err
		}
		return put(tx, to, j)
	})
}

// retry gives a job back after a failure, to be taken again later, or puts it to the dead ones.
func (q *queue) retry(ctx context.Context, j job) error {
	if j.Attempt >= q.maxAttempts {
		return q.settle(ctx, j, binary.BigEndian.AppendUint64(append([]byte(nil), dead...), j.Number))
	}
	return q.settle(ctx, j, jobKey(q.now().Add(q.backoff<<(j.Attempt-1)), j.Number))
}

// giveBack returns a job that was not tried to its end, as if it had not been taken.
func (q *queue) giveBack(ctx context.Context, j job) error {
	j.Attempt--
	return q.settle(ctx, j, jobKey(q.now(), j.Number))
}

// wait returns when a job may be ready, or with ctx's error. The store's feed wakes it: it looks at a state, and then waits
// for the commit after that one, so no job that is pushed in between is missed.
func (q *queue) wait(ctx context.Context) error {
	view, err := q.db.ReadView()
	if err != nil {
		return err
	}
	key, _, err := view.First(kv.Range{Prefix: waiting})
	seen := view.Offset()
	view.Close()
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	soon, cancel := ctx, context.CancelFunc(func() {})
	if err == nil {
		soon, cancel = context.WithTimeout(ctx, readyAt(key).Sub(q.now()))
	}
	defer cancel()
	for _, err := range q.db.Watch(soon, kv.WatchOptions{From: seen + 1, Prefix: waiting}) {
		if soon.Err() != nil { // The first job is ready, unless ctx is what ended.
			return ctx.Err()
		}
		return err
	}
	return ctx.Err()
}
