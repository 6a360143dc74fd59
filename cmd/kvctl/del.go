package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newDel(a *app) *cobra.Command {
	var span spanFlags
	cmd := &cobra.Command{
		Use:   "del KEY… | --prefix P | --start A --end B",
		Short: "Delete pairs and print how many there were",
		Long: `del deletes the named keys, or every key of a prefix or a range, in one commit:
all of them or none. It prints the number of pairs deleted. If there were none,
it writes nothing. A bound that is given and empty is refused: leave it out.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store put user:2 Grace
  kvctl --dir store del user:1
  kvctl --dir store del --prefix user:
  kvctl --dir store del --start a --end b`,
		ValidArgsFunction: a.completeKeys(math.MaxInt),
	}
	span.addTo(cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		ranged := cmd.Flags().Changed("prefix") || cmd.Flags().Changed("start") || cmd.Flags().Changed("end")
		switch {
		case ranged && len(args) > 0:
			return errors.New("want keys, or a prefix or range, but not both")
		case ranged && !span.given():
			// An empty variable in a script must not delete every key.
			return errors.New("the prefix or range is empty, which would be every key")
		case !ranged && len(args) == 0:
			return fmt.Errorf("which keys? Usage: %s", cmd.UseLine())
		}
		return nil
	}
	cmd.PreRunE = notEmpty("prefix", "start", "end")
	cmd.RunE = a.starts(func(args []string) error {
		if span.given() {
			return a.delRange(span)
		}
		return a.delKeys(args)
	})
	return cmd
}

func (a *app) delKeys(args []string) error {
	keys := make([][]byte, len(args))
	for i, arg := range args {
		key, err := a.keyArgument("del: key", arg)
		if err != nil {
			return err
		}
		keys[i] = key
	}
	return a.del(func(db *kv.DB, batch *kv.Batch) (uint64, error) {
		seen := make(map[string]bool, len(keys))
		for _, key := range keys {
			_, err := db.Get(key)
			if seen[string(key)] || errors.Is(err, kv.ErrNotFound) {
				continue
			}
			if err != nil {
				return 0, fmt.Errorf("%s: %w", shown(key), err)
			}
			seen[string(key)] = true
			batch.Delete(key)
		}
		return uint64(len(seen)), nil
	})
}

func (a *app) delRange(span spanFlags) error {
	r, err := span.keyRange(a.enc())
	if err != nil {
		return err
	}
	return a.del(func(db *kv.DB, batch *kv.Batch) (count uint64, err error) {
		for range db.Scan(r) {
			count++
		}
		if count > 0 {
			batch.DeleteRange(bounds(r))
		}
		return count, nil
	})
}

// del opens the store and applies the batch that collect fills. The lock keeps other processes from writing between
// collect's count and the commit.
func (a *app) del(collect func(db *kv.DB, batch *kv.Batch) (count uint64, err error)) error {
	if err := a.mayCreate("del", false); err != nil {
		return err
	}
	return a.withStore(forWriting, func(db *kv.DB) error {
		var batch kv.Batch
		count, err := collect(db, &batch)
		if err != nil {
			return fmt.Errorf("del: %w", err)
		}
		offset, err := db.Apply(&batch)
		if err != nil {
			return fmt.Errorf("del %d keys: %w", count, err)
		}
		if count > 0 {
			a.wrote(offset)
		}
		return a.printResult(count, struct {
			Kind    string `json:"kind"`
			Deleted uint64 `json:"deleted"`
			Offset  uint64 `json:"offset"`
		}{kindResult, count, offset})
	})
}

// bounds returns the one range of keys that fits the prefix, the start and the end of r. A nil end is open.
func bounds(r kv.Range) (start, end []byte) {
	start, end = r.Start, r.End
	if len(r.Prefix) == 0 {
		return start, end
	}
	if bytes.Compare(start, r.Prefix) < 0 {
		start = r.Prefix
	}
	if after := prefixEnd(r.Prefix); after != nil && (end == nil || bytes.Compare(after, end) < 0) {
		end = after
	}
	return start, end
}

// prefixEnd returns the first key after all keys that begin with prefix, or nil if there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}
