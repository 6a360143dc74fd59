package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newWatch(a *app) *cobra.Command {
	var from uint64
	var prefix string
	var untilNow bool
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show changes as they are made",
		Long: `watch writes each change that is made to the store as a JSON line, in order and
without a gap, beside a live writer in another process. It goes on until it is
interrupted.

Without --from it begins with the next change, or with --until-now with the
first that the log holds. To go on after a break, say --from with one more than
the last offset seen. A change whose commit has been truncated is an error that
names the oldest commit held, and a later offset one that names the last commit:
the store may be an older copy.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store put user:2 Grace
  kvctl --dir store watch --until-now
  kvctl --dir store watch --until-now --from 2 --prefix user:`,
		Args: asUsed,
	}
	cmd.Flags().Uint64Var(&from, "from", 0, "the first offset")
	cmd.Flags().StringVar(&prefix, "prefix", "", "changes of keys that begin with this")
	cmd.Flags().BoolVar(&untilNow, "until-now", false, "stop at the last change there is")
	cmd.RunE = a.starts(func([]string) error {
		opts := kv.WatchOptions{From: from}
		if prefix != "" {
			var err error
			if opts.Prefix, err = a.enc().argument("--prefix", prefix); err != nil {
				return err
			}
		}
		ctx, stop := context.Background(), func() {}
		if !untilNow || a.session != nil { // Otherwise an interrupt ends the process, since some changes are missing then.
			ctx, stop = interruptible()
		}
		defer stop()
		follow := func(o *kv.Options) { o.Follow = !untilNow }
		return a.withStore(forReading, func(db *kv.DB) error { return a.watch(ctx, db, opts, untilNow) }, follow)
	})
	return cmd
}

// watch writes changes until ctx is done, or until the last one there is.
func (a *app) watch(ctx context.Context, db *kv.DB, opts kv.WatchOptions, untilNow bool) error {
	if untilNow && opts.From == 0 {
		opts.From = db.Stats().First
	}
	if err := checkNext(opts.From, db.Offset()); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	commits := db.Watch(ctx, opts)
	if untilNow && a.session != nil {
		commits = commitsSoFar(db, opts) // A store that can be written never says that its last commit was the last.
	}
	for commit, err := range commits {
		switch {
		case untilNow && errors.Is(err, kv.ErrReadOnly), !untilNow && ctx.Err() != nil:
			return nil // There are no more, or nobody wants more.
		case ctx.Err() != nil:
			return errInterrupted // Some are missing.
		case err != nil:
			return fmt.Errorf("watch: %w", err)
		}
		for _, mutation := range commit.Mutations {
			change := changeJSON{kindChange, commit.Offset, formatTime(commit.Time), newMutationJSON(mutation, a.enc())}
			if err := a.printJSON(change); err != nil {
				return err
			}
		}
		if err := a.stdout.Flush(); err != nil { // The next one may take its time.
			return err
		}
	}
	return nil
}

// changeJSON is a mutation as watch writes it.
type changeJSON struct {
	Kind   string `json:"kind"`
	Offset uint64 `json:"offset"`
	Time   string `json:"time"`
	mutationJSON
}
