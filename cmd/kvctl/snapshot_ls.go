package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newSnapshotLs(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the store's snapshots",
		Long: `ls lists the store's snapshots, those of later offsets first: the offset, when
the snapshot was taken, its pairs, its blocks and their compression, its bytes,
and whether a start would use it. ls looks only at the two ends of a file;
verify reads all of it.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store checkpoint
  kvctl --dir store snapshot ls
  kvctl --dir store snapshot ls -o json`,
		Args: asUsed,
		RunE: a.starts(func([]string) error {
			files, err := a.snapshots()
			if err != nil {
				return err
			}
			if a.wantsJSON() {
				return printJSONLines(a, files, newSnapshotJSON)
			}
			return a.printSnapshots(files)
		}),
	}
}

func (a *app) printSnapshots(files []kv.SnapshotFile) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "offset\ttaken\tpairs\tblocks\tcompression\tbytes\t  state\n")
	for _, file := range files {
		if file.Err != nil {
			fmt.Fprintf(table, "%d\t-\t-\t-\t-\t%d\t  %v\n", file.Offset, file.Bytes, file.Err)
			continue
		}
		fmt.Fprintf(table, "%d\t%s\t%d\t%d\t%s\t%d\t  ok\n", file.Offset, formatTime(file.Time), file.Entries, file.Blocks, file.Packed, file.Bytes)
	}
	return table.Flush()
}
