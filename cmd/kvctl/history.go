package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/walnutkv/walnut/kv"
)

// valueAt returns the value that key had right after the commit at offset at. A deadline counts as of that commit's own
// time. The error is kv.ErrNotFound if the key had no value then.
//
// A log that still begins with the first commit is enough: reading it up to the offset takes no memory, and works before
// damage. Otherwise a snapshot is needed too.
func (a *app) valueAt(key []byte, at uint64) (value []byte, err error) {
	whole := false
	err = a.withLog(func(log *kv.Log) (err error) {
		if whole = log.First() == 1; whole {
			value, err = valueInLog(log, key, at)
		}
		return err
	})
	if whole || err != nil {
		return value, err
	}
	err = a.withStore(forReading, func(db *kv.DB) error {
		value, err = a.valueInState(db, key, at)
		return err
	})
	return value, err
}

// valueInState returns the value from the state as of an offset.
func (a *app) valueInState(db *kv.DB, key []byte, at uint64) ([]byte, error) {
	ctx, stop := interruptible()
	defer stop()
	state, err := db.At(ctx, at)
	if err != nil {
		return nil, whyEnded(ctx, err)
	}
	value, err := state.Get(key)
	return value, errors.Join(err, state.Close())
}

// valueInLog returns the value from a log that begins with the first commit.
func valueInLog(log *kv.Log, key []byte, at uint64) ([]byte, error) {
	var last kv.Mutation
	var seen kv.Commit
	for commit, err := range log.Commits(log.First()) {
		if err != nil {
			return nil, err
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
		return nil, fmt.Errorf("offset %d is past the last one, %d", at, seen.Offset)
	}
	expired := !last.Deadline.IsZero() && !last.Deadline.After(seen.Time)
	if last.Kind != kv.MutationPut || expired {
		return nil, kv.ErrNotFound
	}
	return last.Value, nil
}

// covers reports whether a mutation changes the key.
func covers(mutation kv.Mutation, key []byte) bool {
	if mutation.Kind != kv.MutationDeleteRange {
		return bytes.Equal(mutation.Key, key)
	}
	return bytes.Compare(key, mutation.Key) >= 0 && (len(mutation.End) == 0 || bytes.Compare(key, mutation.End) < 0)
}
