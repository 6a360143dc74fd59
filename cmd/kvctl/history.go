package main

import (
	"bytes"
	"fmt"

	"github.com/walnutkv/walnut/kv"
)

// valueAt returns the value that key had right after the commit at offset at, by reading the log up to there. A
// deadline counts as of that commit's own time. The error is kv.ErrNotFound where the key had no value then.
func valueAt(log *kv.Log, key []byte, at uint64) ([]byte, error) {
	if log.First() > 1 {
		return nil, fmt.Errorf("offset %d: the log begins at %d, so the state before that is not in it", at, log.First())
	}
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
			break // Damage behind it changes nothing.
		}
	}
	if seen.Offset < at {
		return nil, fmt.Errorf("offset %d is behind the last one, %d", at, seen.Offset)
	}
	expired := !last.Deadline.IsZero() && !last.Deadline.After(seen.Time)
	if last.Kind != kv.MutationPut || expired {
		return nil, kv.ErrNotFound
	}
	return last.Value, nil
}

// covers reports whether a mutation says what becomes of the key.
func covers(mutation kv.Mutation, key []byte) bool {
	if mutation.Kind != kv.MutationDeleteRange {
		return bytes.Equal(mutation.Key, key)
	}
	return bytes.Compare(key, mutation.Key) >= 0 && (len(mutation.End) == 0 || bytes.Compare(key, mutation.End) < 0)
}
