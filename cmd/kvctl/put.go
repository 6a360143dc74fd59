package main

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newPut(a *app) *cobra.Command {
	var ttl time.Duration
	var existing bool
	cmd := &cobra.Command{
		Use:   "put KEY VALUE|-",
		Short: "Write one pair and print its offset",
		Long: `put writes one pair and prints the offset of its commit. It makes a new store in
an empty or missing directory, and says so on standard error; --existing forbids
that.

With - as the value, the value is read from standard input. With --encoding hex
or base64, the arguments and standard input are decoded. After --, an argument
may begin with a dash.`,
		Example: `  kvctl --dir store put user:1 Ada
  printf 'any bytes' | kvctl --dir store put user:2 -
  kvctl --dir store put session:1 token --ttl 10m
  kvctl --dir store put --encoding hex 00ff 0a0d`,
		Args:              asUsed,
		ValidArgsFunction: a.completeKeys(1),
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long the pair lives, such as 90s or 10m (default for ever)")
	addExisting(cmd, &existing)
	cmd.PreRunE = notEmpty()
	cmd.RunE = a.starts(func(args []string) error {
		if cmd.Flags().Changed("ttl") && ttl <= 0 {
			return usagef("put: --ttl %v: want more than 0", ttl)
		}
		if err := a.mayCreate("put", !existing); err != nil {
			return err
		}
		return a.put(args[0], args[1], ttl)
	})
	return cmd
}

func (a *app) put(keyText, valueText string, ttl time.Duration) error {
	key, err := a.keyArgument("put: key", keyText)
	if err != nil {
		return err
	}
	value, err := a.putValue(valueText)
	if err != nil {
		return err
	}
	return a.withStore(forWriting, func(db *kv.DB) error {
		offset, err := putPair(db, key, value, ttl)
		if err != nil {
			return fmt.Errorf("put %s: %w", shown(key), err)
		}
		a.wrote(offset)
		return a.printOffset(offset)
	})
}

func putPair(db *kv.DB, key, value []byte, ttl time.Duration) (uint64, error) {
	if ttl > 0 {
		return db.PutTTL(key, value, ttl)
	}
	return db.Put(key, value)
}

// putValue returns the value that the second argument stands for.
func (a *app) putValue(text string) ([]byte, error) {
	if text != "-" {
		return a.enc().argument("put: value", text)
	}
	// The longest encoding takes two digits a byte. One byte over the limit is enough for kv to refuse the value, so an
	// endless stream can't fill the memory.
	data, err := io.ReadAll(io.LimitReader(a.stdin, 2*kv.MaxValueSize+2))
	if err != nil {
		return nil, fmt.Errorf("put: read the value from standard input: %w", err)
	}
	if a.enc() == encodingUTF8 {
		return data, nil
	}
	value, err := a.enc().decode(string(bytes.TrimSpace(data)))
	if err != nil {
		return nil, fmt.Errorf("put: value from standard input: %w", err)
	}
	return value, nil
}
