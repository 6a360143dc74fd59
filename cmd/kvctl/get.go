package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newGet(a *app) *cobra.Command {
	var at uint64
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Write a key's value to standard output",
		Long: `get writes the value of a key to standard output: its bytes and nothing else,
not even a line end. With --encoding hex or base64 it is one line of text. Exit
code 3 means that there is no such key.

With --at it is the value that the key had right after the commit at that
offset. The offset may be that of any commit since the oldest snapshot, or of
any commit at all while the log has not been truncated.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store put user:1 Grace
  kvctl --dir store get user:1
  kvctl --dir store get user:1 --at 1
  kvctl --dir store get 757365723a31 --encoding hex
  kvctl --dir store get user:1 -o json`,
		Args:              asUsed,
		ValidArgsFunction: a.completeKeys(1),
	}
	cmd.Flags().Uint64Var(&at, "at", 0, "as of this offset (default the newest)")
	cmd.RunE = a.starts(func(args []string) error {
		key, err := a.keyArgument("get: key", args[0])
		if err != nil {
			return err
		}
		var pair kv.Pair
		if cmd.Flags().Changed("at") {
			pair, err = a.pairAt(key, at)
		} else {
			err = a.withView(func(ctx context.Context, v view) error {
				pair, err = v.Get(ctx, key)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("get %s: %w", shown(key), err)
		}
		return a.printValue(pair)
	})
	return cmd
}

func (a *app) printValue(pair kv.Pair) error {
	switch {
	case a.wantsJSON():
		return a.newPairWriter(true, false).write(pair)
	case a.enc() == encodingUTF8:
		_, err := a.stdout.Write(pair.Value)
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%s\n", a.enc().appendText(nil, pair.Value))
	return err
}
