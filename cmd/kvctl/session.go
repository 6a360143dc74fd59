package main

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/walnutkv/walnut/kv"
)

// session is a store that stays open for many commands.
type session struct {
	db       *kv.DB
	readOnly bool
}

var errReadOnlySession = errors.New("the shell was started with --read-only")

// with calls use with the store, unless it would write and the store is open for reading only.
func (s *session) with(want access, use func(db *kv.DB) error) error {
	if want == forWriting && s.readOnly {
		return errReadOnlySession
	}
	return use(s.db)
}

// Get returns a pair as of the last commit.
func (s *session) Get(_ context.Context, key []byte) (p kv.Pair, err error) {
	err = s.db.View(func(tx *kv.Tx) (err error) {
		p, err = lookUp(tx, key)
		return err
	})
	return p, err
}

// Scan yields the pairs of a range, all as of one instant.
func (s *session) Scan(_ context.Context, r kv.Range) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		err := s.db.View(func(tx *kv.Tx) error {
			for key, value := range tx.Scan(r) {
				deadline, err := tx.Deadline(key)
				if err != nil {
					return err
				}
				if !yield(kv.Pair{Key: key, Value: value, Deadline: deadline}, nil) {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			yield(kv.Pair{}, err)
		}
	}
}

// Stats returns the open store's numbers.
func (s *session) Stats(context.Context) (kv.Stats, error) { return s.db.Stats(), nil }

// keepTouching leaves only the mutations of a commit that touch keys with a prefix, and reports whether there are any.
func keepTouching(c *kv.Commit, prefix []byte) bool {
	c.Mutations = slices.DeleteFunc(c.Mutations, func(m kv.Mutation) bool { return !m.Touches(prefix) })
	return len(c.Mutations) > 0
}

// commitsSoFar yields what Watch does, up to the last commit at the time.
func commitsSoFar(db *kv.DB, opts kv.WatchOptions) iter.Seq2[kv.Commit, error] {
	return func(yield func(kv.Commit, error) bool) {
		last := db.Offset()
		if opts.From > last {
			return
		}
		for commit, err := range db.Commits(opts.From) {
			if err == nil && commit.Offset > last {
				return
			}
			if (err != nil || keepTouching(&commit, opts.Prefix)) && !yield(commit, err) || err != nil {
				return
			}
		}
	}
}
