package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// found is what a key has: a value, and a deadline unless that is zero.
type found struct {
	value    []byte
	deadline time.Time
}

// lookUp is what an open store, a view of one, or a transaction knows of a key.
func lookUp(in interface {
	Get(key []byte) ([]byte, error)
	Deadline(key []byte) (time.Time, error)
}, key []byte,
) (f found, err error) {
	if f.value, err = in.Get(key); err == nil {
		f.deadline, err = in.Deadline(key)
	}
	return f, err
}

// valueAt returns the value that key had right after the commit at offset at. A deadline counts as of that commit's own
// time. The error is kv.ErrNotFound if the key had no value then.
//
// A log that still begins with the first commit is enough: reading it up to the offset takes no memory, and works before
// damage. Otherwise a snapshot is needed too.
func (a *app) valueAt(key []byte, at uint64) (f found, err error) {
	whole := false
	err = a.withLog(func(log *kv.Log) (err error) {
		if whole = log.First() == 1; whole {
			f, err = valueInLog(log, key, at)
		}
		return err
	})
	if whole || err != nil {
		return f, err
	}
	err = a.withStore(forReading, func(db *kv.DB) error {
		f, err = a.valueInState(db, key, at)
		return err
	})
	return f, err
}

// valueInState returns the value from the state as of an offset.
func (a *app) valueInState(db *kv.DB, key []byte, at uint64) (found, error) {
	ctx, stop := interruptible()
	defer stop()
	state, err := db.At(ctx, at)
	if err != nil {
		return found{}, whyEnded(ctx, err)
	}
	f, err := lookUp(state, key)
	return f, errors.Join(err, state.Close())
}

// valueInLog returns the value from a log that begins with the first commit.
func valueInLog(log *kv.Log, key []byte, at uint64) (found, error) {
	var last kv.Mutation
	var seen kv.Commit
	for commit, err := range log.Commits(log.First()) {
		if err != nil {
			return found{}, err
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
		return found{}, fmt.Errorf("offset %d is past the last one, %d", at, seen.Offset)
	}
	expired := !last.Deadline.IsZero() && !last.Deadline.After(seen.Time)
	if last.Kind != kv.MutationPut || expired {
		return found{}, kv.ErrNotFound
	}
	return found{last.Value, last.Deadline}, nil
}

// covers reports whether a mutation changes the key.
func covers(mutation kv.Mutation, key []byte) bool {
	if mutation.Kind != kv.MutationDeleteRange {
		return bytes.Equal(mutation.Key, key)
	}
	return bytes.Compare(key, mutation.Key) >= 0 && (len(mutation.End) == 0 || bytes.Compare(key, mutation.End) < 0)
}
