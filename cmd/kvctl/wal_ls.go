package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newWalLs(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the log's segments",
		Long: `ls lists the log's segments: the offsets of the first and the last record, the
number of records, the bytes used and the bytes allocated in the file, whether
it is sealed or the active one, and the state of its index. An index that isn't
ok is rebuilt when the store is next opened for writing; nothing is lost with
it.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store wal ls
  kvctl --dir store wal ls -o json`,
		Args: asUsed,
		RunE: a.starts(func([]string) error {
			return a.withLog(func(log *kv.Log) error {
				if a.wantsJSON() {
					return printJSONLines(a, log.Segments(), newSegmentJSON)
				}
				return a.printSegments(log.Segments())
			})
		}),
	}
}

// segmentJSON is a segment as JSON output has it.
type segmentJSON struct {
	Kind      string `json:"kind"`
	Base      uint64 `json:"base"`
	Last      uint64 `json:"last"`
	Records   uint64 `json:"records"`
	Bytes     int64  `json:"bytes"`
	Allocated int64  `json:"allocated"`
	State     string `json:"state"`
	Index     string `json:"index"`
	Path      string `json:"path"`
}

func newSegmentJSON(s kv.Segment) segmentJSON {
	segment := segmentJSON{
		Kind: kindSegment, Base: s.Base, Last: s.Last, Records: s.Last + 1 - s.Base, Bytes: s.Bytes, Allocated: s.Allocated,
		State: "active", Index: "rebuild", Path: s.Path,
	}
	if s.Sealed {
		segment.State = "sealed"
	}
	if s.IndexOK {
		segment.Index = "ok"
	}
	return segment
}

func (a *app) printSegments(segments []kv.Segment) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "base\tlast\trecords\tbytes\tallocated\tstate\tindex\t\n")
	for _, segment := range segments {
		s := newSegmentJSON(segment)
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%s\t%s\t\n", s.Base, s.Last, s.Records, s.Bytes, s.Allocated, s.State, s.Index)
	}
	return table.Flush()
}
