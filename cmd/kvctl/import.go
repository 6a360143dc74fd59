package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// The values of import's --format.
const (
	formatJSONL = "jsonl"
	formatCSV   = "csv"
	formatTSV   = "tsv"
)

// batchBytes closes a batch early, so that it fits into one commit even after the largest pair, and a batch of large values
// doesn't fill the memory. pairOverhead is added to the bytes of each pair.
const (
	batchBytes   = 16 << 20
	pairOverhead = 32
)

// importFlags say how to read an import and how to write it.
type importFlags struct {
	format  string
	columns tableColumns // In jsonl, names of members.
	batch   int
	ack     bool

	existing bool
}

func newImport(a *app) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Write pairs from JSON lines, CSV or TSV, and print how many",
		Long: `import writes the pairs of a file, or of standard input, in commits of --batch
pairs, and prints the number of pairs. A commit is closed early at 16 MiB. Files
compressed with gzip or zstd are decompressed.

  jsonl     {"key":…,"value":…} a line; "key_base64" and "value_base64" for
            bytes that aren't UTF-8; "deadline", a time as in RFC 3339; "kind",
            if it is "pair". No member may come twice. A value that isn't a
            string is stored as compact JSON. With --key FIELD, any JSON
            objects: each is stored under one of its members, whole, or with
            --value FIELD another of its members.
  csv, tsv  the first line is the header. --key COLUMN and --value COLUMN choose
            key and value, by name or by number from 1; without --value the
            value is the whole row as a JSON object. In tsv nothing is quoted.

A line that can't be read ends the import with its number. Nothing of its batch
is written, and the batches before it stay. An interrupt ends the import after
the batch being written.

With --ack, a line "acked PAIRS OFFSET" follows each batch once its commit is
acknowledged: with --sync always, the first PAIRS pairs are durable from then
on. import makes a new store in an empty or missing directory, and says so on
standard error; --existing forbids that.`,
		Example: `  printf '{"key":"user:1","value":"Ada"}\n' | kvctl --dir store import -
  printf 'id,name\n2,Grace\n3,Barbara\n' > users.csv
  kvctl --dir store import users.csv --key id --value name
  printf '{"id":4,"name":"Radia"}\n' | gzip > users.jsonl.gz
  kvctl --dir store import users.jsonl.gz --key id --batch 500`,
		Args: asUsed,
	}
	cmd.Flags().StringVar(&flags.format, "format", "", "jsonl, csv or tsv (default by the name's ending; jsonl for -)")
	cmd.Flags().StringVar(&flags.columns.key, "key", "", "the member or column that is the key")
	cmd.Flags().StringVar(&flags.columns.value, "value", "", "the member or column that is the value")
	cmd.Flags().BoolVar(&flags.columns.noHeader, "no-header", false, "csv, tsv: the first line is a row; columns go by number")
	cmd.Flags().IntVar(&flags.batch, "batch", 1000, "pairs a commit")
	cmd.Flags().BoolVar(&flags.ack, "ack", false, "print each batch's acknowledgement")
	addExisting(cmd, &flags.existing)
	completeWords(cmd, "format", formatJSONL, formatCSV, formatTSV)
	cmd.PreRunE = notEmpty()
	cmd.RunE = a.starts(func(args []string) error {
		if err := flags.check(args[0]); err != nil {
			return err
		}
		if err := a.mayCreate("import", !flags.existing); err != nil {
			return err
		}
		if err := a.runImport(args[0], flags); err != nil {
			return fmt.Errorf("import: %w", err)
		}
		return nil
	})
	return cmd
}

// check completes the flags for a file, or returns an error for a wrong one.
func (f *importFlags) check(name string) error {
	if f.format == "" {
		f.format = formatOf(name)
	}
	switch {
	case f.format == "":
		return usagef("import %s: the name doesn't say the format; say --format jsonl, csv or tsv", name)
	case f.format != formatJSONL && f.format != formatCSV && f.format != formatTSV:
		return usagef("import: --format %q: want jsonl, csv or tsv", f.format)
	case f.batch < 1:
		return usagef("import: --batch %d: want 1 or more", f.batch)
	case f.format == formatJSONL && f.columns.noHeader:
		return usagef("import: --no-header is for csv and tsv")
	case f.format != formatJSONL && f.columns.key == "":
		return usagef("import: which column is the key? Say --key COLUMN")
	}
	if f.format == formatJSONL && f.columns.value != "" && f.columns.key == "" {
		f.columns.key = "key"
	}
	return nil
}

// formatOf returns the format that a file's name says, or "" if it says none.
func formatOf(name string) string {
	if name == "-" {
		return formatJSONL
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	switch filepath.Ext(name) {
	case ".jsonl", ".ndjson":
		return formatJSONL
	case ".csv":
		return formatCSV
	case ".tsv", ".tab":
		return formatTSV
	}
	return ""
}

// newReader returns the reader of the input's format.
func (f importFlags) newReader(in *input, enc encoding) (pairReader, error) {
	lines := &lineReader{from: in.text, max: maxLine}
	switch f.format {
	case formatCSV:
		return newTableReader(newCSVRows(in.text), enc, f.columns)
	case formatTSV:
		return newTableReader(&tsvRows{lines}, enc, f.columns)
	}
	return &jsonlReader{lines: lines, enc: enc, keyField: f.columns.key, valueField: f.columns.value}, nil
}

// runImport opens the input before the store, so that a mistyped name creates no store.
func (a *app) runImport(name string, flags importFlags) error {
	if _, err := a.dir(); err != nil {
		return err
	}
	in, err := a.openInput(name)
	if err != nil {
		return err
	}
	defer in.close()
	pairs, err := flags.newReader(in, a.enc())
	if err != nil {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	ctx, stop := interruptible()
	defer stop()
	i := &importer{app: a, in: in, ack: flags.ack}
	err = a.withStoreUntil(ctx, forWriting, func(db *kv.DB) error {
		i.db, i.bar = db, a.newImportBar(in)
		defer i.bar.finish()
		return i.run(ctx, &batchReader{pairs: pairs, size: flags.batch})
	})
	switch {
	case err != nil && i.db == nil:
		return whyEnded(ctx, err) // The store was not opened.
	case err != nil:
		return i.describe(whyEnded(ctx, err))
	}
	if i.commits > 0 {
		a.done = fmt.Sprintf("all pairs are in and durable, up to offset %d", i.offset)
	}
	return a.printResult(i.pairs, struct {
		Kind     string `json:"kind"`
		Imported uint64 `json:"imported"`
		Commits  uint64 `json:"commits"`
		Offset   uint64 `json:"offset"`
	}{kindResult, i.pairs, i.commits, i.offset})
}

// importer applies batches, one after another, and counts the acknowledged pairs.
type importer struct {
	app *app
	db  *kv.DB
	in  *input
	ack bool
	bar *importBar

	pairs, commits, offset uint64 // Of acknowledged commits; offset is that of the last one.
}

// run applies the input batch by batch. It reads the next batch while one is being written. An interrupt ends it even if the
// input has nothing to read.
func (i *importer) run(ctx context.Context, from *batchReader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan importBatch)
	go from.readAll(ctx, batches)
	i.offset = i.db.Offset()
	for {
		select {
		case <-ctx.Done():
			return errInterrupted
		case batch := <-batches:
			if batch.err != nil && batch.err != io.EOF {
				return fmt.Errorf("%s %w", i.in.name, batch.err)
			}
			if err := i.apply(batch); err != nil {
				return err
			}
			if batch.err == io.EOF {
				return nil
			}
		}
		if ctx.Err() != nil {
			return errInterrupted
		}
	}
}

func (i *importer) apply(batch importBatch) error {
	if batch.pairs == 0 {
		return nil
	}
	offset, err := i.db.Apply(batch.mutations)
	if err != nil {
		return fmt.Errorf("write lines %d to %d: %w", batch.firstLine, batch.lastLine, err)
	}
	i.pairs += uint64(batch.pairs)
	i.commits++
	i.offset = offset
	i.bar.update(i.pairs)
	return i.acknowledge()
}

// acknowledge prints the pairs and the offset so far, if asked for, and flushes the line.
func (i *importer) acknowledge() error {
	if !i.ack {
		return nil
	}
	var err error
	if i.app.wantsJSON() {
		err = i.app.printJSON(struct {
			Kind   string `json:"kind"`
			Acked  uint64 `json:"acked"`
			Offset uint64 `json:"offset"`
		}{kindAcked, i.pairs, i.offset})
	} else {
		_, err = fmt.Fprintf(i.app.stdout, "acked %d %d\n", i.pairs, i.offset)
	}
	if err == nil {
		err = i.app.stdout.Flush()
	}
	if err != nil {
		// Not wrapped: an unfinished import is a failure even if the reader of its acknowledgements closed the pipe.
		return fmt.Errorf("write to standard output: %v", err)
	}
	return nil
}

// describe adds to the error that ended an import which pairs are in the store. The store has been closed, so they are durable in
// any mode, unless closing failed.
func (i *importer) describe(err error) error {
	first, are, were := fmt.Sprintf("the first %d pairs", i.pairs), "are", "were"
	if i.pairs == 1 {
		first, are, were = "the first pair", "is", "was"
	}
	var closing closeError
	switch {
	case i.pairs == 0:
		return fmt.Errorf("%w; nothing was written", err)
	case errors.As(err, &closing):
		return fmt.Errorf("%w; %s %s written, up to offset %d, and may not be durable", err, first, were, i.offset)
	}
	return fmt.Errorf("%w; %s %s in and durable, up to offset %d", err, first, are, i.offset)
}
