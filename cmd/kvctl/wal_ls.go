package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
it is sealed or the active one, the state of its index, and the first damage in
it. An index that isn't ok is rebuilt when the store is next opened for writing;
nothing is lost with it. ls reads every byte of the log. Damage makes the exit
code 4; the segments after it are shown as far as they can be read, and a
segment that is missing has no bytes.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store wal ls
  kvctl --dir store wal ls -o json`,
		Args: asUsed,
		RunE: a.starts(func([]string) error { return a.listSegments() }),
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
	Damage    string `json:"damage,omitempty"`
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

func (a *app) listSegments() error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	list, damaged, err := a.segments(ctx, dir)
	if err != nil {
		return whyEnded(ctx, err)
	}
	if a.wantsJSON() {
		err = printJSONLines(a, list, func(s segmentJSON) segmentJSON { return s })
	} else {
		err = a.printSegments(list)
	}
	if err != nil || damaged == 0 {
		return err
	}
	return damageFoundError{fmt.Sprintf("wal ls: %s; %s", damagedPlaces(dir, damaged), a.planRepair())}
}

// lsTries is how often a log that seems damaged is looked at: a live writer may be at work.
const lsTries = 3

// segments returns the log's segments, and in how many places they are damaged.
func (a *app) segments(ctx context.Context, dir string) (list []segmentJSON, damaged int, err error) {
	for range lsTries {
		list = nil
		err = a.withLog(func(log *kv.Log) error {
			for _, segment := range log.Segments() {
				list = append(list, newSegmentJSON(segment))
			}
			return nil
		})
		if err != nil && !errors.Is(err, kv.ErrCorrupt) {
			return nil, 0, err
		}
		notOpen := err
		if list, damaged, err = addDamage(ctx, dir, list); err != nil || damaged == 0 {
			return list, damaged, errors.Join(err, notOpen)
		}
	}
	return list, damaged, nil
}

// addDamage adds to the segments what is damaged in them, and the segments after the damage.
func addDamage(ctx context.Context, dir string, list []segmentJSON) (_ []segmentJSON, damaged int, err error) {
	known := len(list)
	for piece, err := range kv.Salvage(ctx, dir, kv.Options{}) {
		if err != nil {
			return nil, 0, err
		}
		i := slices.IndexFunc(list, func(s segmentJSON) bool { return filepath.Base(s.Path) == filepath.Base(piece.Path) })
		if i < 0 {
			list = append(list, segmentJSON{Kind: kindSegment, Base: piece.Offset, Last: piece.Offset - 1, State: "apart", Index: "-", Path: piece.Path})
			i = len(list) - 1
		}
		s := &list[i]
		if piece.Err == nil && i >= known {
			s.Last, s.Records = piece.Offset, s.Records+1
		}
		if end := piece.Position + piece.Bytes; i >= known {
			s.Bytes, s.Allocated = max(s.Bytes, end), max(s.Allocated, end)
		}
		if piece.Err == nil {
			continue
		}
		if damaged++; s.Damage == "" {
			s.Damage = fmt.Sprintf("at position %d, %s: %v", piece.Position, offsetsOf(piece), piece.Err)
		}
	}
	slices.SortStableFunc(list, func(a, b segmentJSON) int { return cmp.Compare(a.Base, b.Base) })
	return list, damaged, nil
}

func (a *app) printSegments(segments []segmentJSON) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "base\tlast\trecords\tbytes\tallocated\tstate\tindex\t  damage\n")
	for _, s := range segments {
		damage := s.Damage
		if damage == "" {
			damage = "none"
		}
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%s\t%s\t  %s\n", s.Base, s.Last, s.Records, s.Bytes, s.Allocated, s.State, s.Index, damage)
	}
	return table.Flush()
}
