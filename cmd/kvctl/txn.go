package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newTxn(a *app) *cobra.Command {
	var existing bool
	cmd := &cobra.Command{
		Use:   "txn FILE|-",
		Short: "Run JSON lines as one transaction and print its offset",
		Long: `txn runs the lines of a file, or of standard input, as one transaction, and
prints the offset of its commit. Each line is a JSON object:

  {"op":"put","key":…,"value":…}           and "deadline":TIME, if it has one
  {"op":"delete","key":…}
  {"op":"delete_range","start":…,"end":…}  either may be left out
  {"op":"expect","key":…,"value":…}        the pair is there, with this value
  {"op":"expect","key":…,"absent":true}    there is no such pair

Lines run in order, and each sees what those before it wrote. Where an
expectation fails, nothing is written: the exit code is 1, and the error names
the line, the key, and what was expected. So is a line that can't be read.

Keys and values are written as import has them: "key_base64", "value_base64",
"start_base64" and "end_base64" are for bytes that aren't UTF-8. A transaction
that writes nothing prints the offset of the last commit. At most 64 MiB fit
into one.`,
		Example: `  kvctl --dir store put user:1 Ada
  cat > txn.jsonl <<END
  {"op":"expect","key":"user:1","value":"Ada"}
  {"op":"expect","key":"user:2","absent":true}
  {"op":"put","key":"user:2","value":"Grace"}
  {"op":"delete","key":"user:1"}
END
  kvctl --dir store txn txn.jsonl
  echo '{"op":"delete_range","start":"user:"}' | kvctl --dir store txn -`,
		Args: asUsed,
	}
	addExisting(cmd, &existing)
	cmd.PreRunE = notEmpty()
	cmd.RunE = a.starts(func(args []string) error {
		if err := a.txn(args[0], existing); err != nil {
			return fmt.Errorf("txn: %w", err)
		}
		return nil
	})
	return cmd
}

// txn reads all of the input before it opens the store, so that no lock is held while the input is written.
func (a *app) txn(name string, existing bool) error {
	ctx, stop := interruptible()
	defer stop()
	ops, from, err := a.readTxn(ctx, name)
	if err != nil {
		return err
	}
	t := &transaction{ctx: ctx, ops: ops, from: from, enc: a.enc()}
	isNew, err := a.isNoStore(existing)
	if err != nil {
		return err
	}
	if isNew {
		// A transaction that writes nothing makes no store.
		if err := t.try(); err != nil || t.mutations == 0 {
			return a.printTxn(t, err)
		}
	}
	return a.withStore(forWriting, func(db *kv.DB) error { return a.printTxn(t, t.run(db)) })
}

// printTxn prints the offset of a transaction's commit, unless it failed.
func (a *app) printTxn(t *transaction, err error) error {
	if err != nil {
		return err
	}
	if t.mutations > 0 {
		a.wrote(t.offset)
	}
	return a.printResult(t.offset, struct {
		Kind      string `json:"kind"`
		Offset    uint64 `json:"offset"`
		Mutations int    `json:"mutations"`
	}{kindResult, t.offset, t.mutations})
}

// readTxn reads the whole input, and returns its name too. An interrupt ends it even if the input has nothing to read.
func (a *app) readTxn(ctx context.Context, name string) ([]txnOp, string, error) {
	type result struct {
		ops  []txnOp
		from string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		in, err := a.openInput(name)
		if err != nil {
			done <- result{err: err}
			return
		}
		defer in.close()
		reader := &txnReader{lines: &lineReader{from: in.text, max: maxLine}, enc: a.enc(), max: maxTxn}
		ops, err := reader.readAll()
		if err != nil {
			err = fmt.Errorf("%s %w; nothing was written", in.name, err)
		}
		done <- result{ops, in.name, err}
	}()
	select {
	case <-ctx.Done():
		return nil, "", errInterrupted
	case read := <-done:
		return read.ops, read.from, read.err
	}
}

// transaction is a list of operations that happen wholly or not at all.
type transaction struct {
	ctx  context.Context
	ops  []txnOp
	from string // Where the operations were read, as error messages have it.
	enc  encoding

	offset    uint64 // Of the commit, once it has run.
	mutations int    // The operations that write.
}

// try runs the transaction on an empty store in memory.
func (t *transaction) try() error {
	db, err := kv.OpenMemory(kv.Options{})
	if err != nil {
		return err
	}
	return errors.Join(t.run(db), db.Close())
}

// run runs the transaction. An interrupt ends it before the commit. From then on it is waited for, so that the outcome is known.
func (t *transaction) run(db *kv.DB) (err error) {
	t.mutations = 0
	t.offset, err = db.UpdateOffset(context.WithoutCancel(t.ctx), func(tx *kv.Tx) error {
		for _, op := range t.ops {
			if t.ctx.Err() != nil {
				return errInterrupted
			}
			if err := t.perform(tx, op); err != nil {
				return fmt.Errorf("%s %w; nothing was written", t.from, &lineError{op.line, err})
			}
		}
		return nil
	})
	return err
}

func (t *transaction) perform(tx *kv.Tx, op txnOp) error {
	if op.op == opExpect {
		return t.expect(tx, op)
	}
	t.mutations++
	switch op.op {
	case opPut:
		return tx.PutDeadline(op.key, op.value, op.deadline)
	case opDelete:
		return tx.Delete(op.key)
	}
	return tx.DeleteRange(op.key, op.end)
}

// expect compares what a key has with what a line wants. Its error is never kv.ErrNotFound, which has another exit code.
func (t *transaction) expect(tx *kv.Tx, op txnOp) error {
	value, err := tx.Get(op.key)
	missing := errors.Is(err, kv.ErrNotFound)
	if err != nil && !missing {
		return err
	}
	if missing == op.absent && string(value) == string(op.value) {
		return nil
	}
	want, got := "no pair", "no pair"
	if !op.absent {
		want = t.shown(op.value)
	}
	if !missing {
		got = t.shown(value)
	}
	return fmt.Errorf("key %s: expected %s, found %s", t.shown(op.key), want, got)
}

// shown quotes bytes for an error message as --encoding writes them.
func (t *transaction) shown(data []byte) string {
	if t.enc == encodingUTF8 {
		return shown(data)
	}
	return shown(t.enc.appendText(nil, data))
}
