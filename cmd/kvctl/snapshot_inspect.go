package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newSnapshotInspect(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect OFFSET|FILE",
		Short: "Show what a snapshot or a backup is made of",
		Long: `inspect shows the header of a snapshot, and its blocks: where each begins, its
bytes there and decompressed, its entries, its compression, and its first key. A
number means the store's snapshot as of that offset, anything else a file, which
may be a backup. The entries of an increment are commits, and their keys
offsets.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store checkpoint
  kvctl --dir store snapshot inspect 1
  kvctl --dir store snapshot inspect 1 -o json
  kvctl --dir store backup copy.walnut
  kvctl snapshot inspect copy.walnut`,
		Args:              asUsed,
		ValidArgsFunction: a.completeSnapshots,
		RunE:              a.starts(func(args []string) error { return a.inspectSnapshot(args[0]) }),
	}
}

func (a *app) inspectSnapshot(argument string) error {
	file, err := a.snapshotOf(argument)
	if err != nil {
		return fmt.Errorf("snapshot inspect: %w", err)
	}
	if errors.As(file.Err, new(compressedError)) {
		return fmt.Errorf("snapshot inspect: %s: %w", file.Path, file.Err)
	}
	blocks, err := kv.SnapshotBlocks(file.Path, kv.Options{})
	switch {
	case errors.Is(err, kv.ErrCorrupt):
		return closerError{err, a.verifyCommand(file.Path)}
	case err != nil:
		return err
	case a.wantsJSON():
		return a.printBlocksJSON(file, blocks)
	}
	return a.printBlocks(file, blocks)
}

// verifyCommand returns the command that reads every byte of a snapshot.
func (a *app) verifyCommand(path string) string {
	if a.isInStore(path) {
		return a.commandLine("snapshot verify " + shellQuote(path))
	}
	return "kvctl snapshot verify " + shellQuote(path)
}

// blockJSON is a block as JSON output has it.
type blockJSON struct {
	Kind           string  `json:"kind"`
	Block          int     `json:"block"`
	Position       int64   `json:"position"`
	StoredBytes    int64   `json:"stored_bytes"`
	RawBytes       int64   `json:"raw_bytes"`
	Entries        int     `json:"entries"`
	Compression    string  `json:"compression"`
	FirstKey       *string `json:"first_key,omitempty"`
	FirstKeyBase64 []byte  `json:"first_key_base64,omitempty"`
}

func (a *app) printBlocksJSON(file kv.SnapshotFile, blocks []kv.SnapshotBlock) error {
	head := newSnapshotJSON(file)
	if file.Packed == "" {
		entries, count := entriesOf(blocks), len(blocks)
		head.Offset, head.Time, head.Entries, head.Blocks = nil, "", &entries, &count
	}
	if err := a.printJSON(head); err != nil {
		return err
	}
	for i, block := range blocks {
		shape := blockJSON{
			Kind: kindBlock, Block: i, Position: block.Position, StoredBytes: block.StoredBytes, RawBytes: block.RawBytes,
			Entries: block.Entries, Compression: block.Compression.String(),
		}
		shape.FirstKey, shape.FirstKeyBase64 = a.enc().jsonForm(block.FirstKey)
		if err := a.printJSON(shape); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printBlocks(file kv.SnapshotFile, blocks []kv.SnapshotBlock) error {
	entries := int(entriesOf(blocks))
	fmt.Fprintf(a.stdout, "%s: %d %s in %d %s, %s\n", file.Path, entries, plural(entries, "entry"), len(blocks), plural(len(blocks), "block"),
		withUnit(file.Bytes))
	if file.Err != nil {
		fmt.Fprintf(a.stdout, "no start uses it: %v\n", file.Err)
	}
	if file.Packed != "" {
		fmt.Fprintf(a.stdout, "as of offset %d, taken %s, compression %s, checksum %v\n", file.Offset, formatTime(file.Time), file.Packed, file.Sum)
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "block\tposition\tstored\traw\tentries\tcompression\t  first key\n")
	for i, block := range blocks {
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%s\t  %s\n", i, block.Position, block.StoredBytes, block.RawBytes, block.Entries,
			block.Compression, a.enc().appendText(nil, block.FirstKey))
	}
	return table.Flush()
}

func entriesOf(blocks []kv.SnapshotBlock) (total uint64) {
	for _, block := range blocks {
		total += uint64(block.Entries)
	}
	return total
}
