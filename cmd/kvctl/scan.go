package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newScan(a *app) *cobra.Command {
	var span viewFlags
	var keysOnly, count bool
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "List pairs in key order",
		Long: `scan writes the pairs of one instant in key order, key<TAB>value a line.

Text output prints printable UTF-8 as it is and escapes everything else, so that
a line is always one pair: \\ is a backslash, \t a tab, \n and \r a line end,
and \xNN any other byte. For programs, -o json or --encoding hex is easier to
read back.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store put user:2 Grace
  kvctl --dir store scan
  kvctl --dir store scan --prefix user: --reverse --limit 1
  kvctl --dir store scan --start user:1 --end user:2 -o json
  kvctl --dir store scan --keys-only
  kvctl --dir store scan --prefix user: --count`,
		Args: asUsed,
	}
	span.addTo(cmd)
	cmd.Flags().BoolVar(&keysOnly, "keys-only", false, "leave the values out")
	cmd.Flags().BoolVar(&count, "count", false, "print only how many pairs there are")
	cmd.RunE = a.starts(func([]string) error {
		r, err := span.keyRange(a.enc())
		if err != nil {
			return err
		}
		if keysOnly && count {
			return usageError{errors.New("scan: want --keys-only or --count, but not both")}
		}
		return a.withView(func(ctx context.Context, v view) error {
			if count {
				return a.countPairs(v.Scan(ctx, r))
			}
			return writePairs(v.Scan(ctx, r), a.newPairWriter(a.wantsJSON(), keysOnly))
		})
	})
	return cmd
}

func (a *app) countPairs(pairs iter.Seq2[kv.Pair, error]) error {
	var count uint64
	for _, err := range pairs {
		if err != nil {
			return err
		}
		count++
	}
	return a.printResult(count, struct {
		Kind  string `json:"kind"`
		Count uint64 `json:"count"`
	}{kindResult, count})
}

func writePairs(pairs iter.Seq2[kv.Pair, error], w *pairWriter) error {
	for pair, err := range pairs {
		if err != nil {
			return err
		}
		if w.keysOnly {
			pair.Deadline = time.Time{}
		}
		if err := w.write(pair); err != nil {
			return err
		}
	}
	return nil
}
