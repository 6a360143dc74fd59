package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// lookUp returns what an open store, a view of one, or a transaction has under a key.
func lookUp(in interface {
	Get(key []byte) ([]byte, error)
	Deadline(key []byte) (time.Time, error)
}, key []byte,
) (p kv.Pair, err error) {
	if p.Value, err = in.Get(key); err == nil {
		p.Key = key
		p.Deadline, err = in.Deadline(key)
	}
	return p, err
}

// pairAt returns the pair that key had right after the commit at offset at. A deadline counts as of that commit's own
// time. The error is kv.ErrNotFound if there was none then.
//
// A log that still begins with the first commit is enough: reading it up to the offset takes no memory, and works before
// damage. Otherwise a snapshot is needed too.
func (a *app) pairAt(key []byte, at uint64) (p kv.Pair, err error) {
	whole := false
	err = a.withLog(func(log *kv.Log) (err error) {
		if whole = log.First() == 1; whole {
			p, err = pairInLog(log, key, at)
		}
		return err
	})
	if whole || err != nil {
		return p, err
	}
	err = a.withStore(forReading, func(db *kv.DB) error {
		p, err = a.pairInState(db, key, at)
		return err
	})
	return p, err
}

// pairInState returns the pair from the state as of an offset.
func (a *app) pairInState(db *kv.DB, key []byte, at uint64) (kv.Pair, error) {
	ctx, stop := interruptible()
	defer stop()
	state, err := db.At(ctx, at)
	if err != nil {
		return kv.Pair{}, whyEnded(ctx, err)
	}
	p, err := lookUp(state, key)
	return p, errors.Join(err, state.Close())
}

// pairInLog returns the pair from a log that begins with the first commit.
func pairInLog(log *kv.Log, key []byte, at uint64) (kv.Pair, error) {
	var last kv.Mutation
	var seen kv.Commit
	for commit, err := range log.Commits(log.First()) {
		if err != nil {
			return kv.Pair{}, err
		}
		if commit.Offset > at {
			break
		}
		seen = commit
		for _, mutation := range commit.Mutations {
			if covers(mutation, key) {
				last = mutation
			}
		}
		if commit.Offset == at {
			break // Damage after it changes nothing.
		}
	}
	if seen.Offset < at {
		return kv.Pair{}, fmt.Errorf("offset %d is past the last one, %d", at, seen.Offset)
	}
	expired := !last.Deadline.IsZero() && !last.Deadline.After(seen.Time)
	if last.Kind != kv.MutationPut || expired {
		return kv.Pair{}, kv.ErrNotFound
	}
	return kv.Pair{Key: key, Value: last.Value, Deadline: last.Deadline}, nil
}

// covers reports whether a mutation changes the key.
func covers(mutation kv.Mutation, key []byte) bool {
	if mutation.Kind != kv.MutationDeleteRange {
		return bytes.Equal(mutation.Key, key)
	}
	return bytes.Compare(key, mutation.Key) >= 0 && (len(mutation.End) == 0 || bytes.Compare(key, mutation.End) < 0)
}
