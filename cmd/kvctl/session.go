package main

import (
	"errors"
	"iter"

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
			var touching []kv.Mutation
			for _, mutation := range commit.Mutations {
				if mutation.Touches(opts.Prefix) {
					touching = append(touching, mutation)
				}
			}
			commit.Mutations = touching
			if (err != nil || len(touching) > 0) && !yield(commit, err) || err != nil {
				return
			}
		}
	}
}
