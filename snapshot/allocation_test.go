//go:build !race

// With the race detector, pools drop values at random.

package snapshot

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAllocationsOfEntries bounds the allocations of writing and reading to a few for each block, so that there are none for
// each entry. The bounds leave room for pools that a garbage collection empties, and the smallest of some measurements counts.
func TestAllocationsOfEntries(t *testing.T) {
	const count = 10_000
	entries := compressible(count)
	for _, compression := range compressions {
		for _, workers := range []int{1, 2} {
			opts := Options{Compression: compression, Workers: workers, BlockSize: 16 << 10}
			data := encode(t, testHeader(1), opts, entries)
			file, err := openBytes(t, data)
			require.NoError(t, err)
			blocks := float64(len(file.Blocks()))
			for _, c := range []struct {
				sentence string
				most     float64 // Allocations for each block.
				do       func() error
			}{
				{"written", 11, func() error { return discard(opts, entries) }},
				{"read from a stream", 11, func() error {
					r, err := NewReader(bytes.NewReader(data), opts)
					if err != nil {
						return err
					}
					return readAll(r.Entries(), count)
				}},
				{"read from a file", 9, func() error { return readAll(file.Entries(workers), count) }},
			} {
				t.Run(fmt.Sprintf("%v by %d workers %s", compression, workers, c.sentence), func(t *testing.T) {
					least := float64(count)
					for range 3 {
						least = min(least, testing.AllocsPerRun(3, func() { require.NoError(t, c.do()) }))
					}
					require.LessOrEqual(t, least/blocks, c.most,
						"more allocations than before: find out why with -memprofile, or raise the bound and say in the commit what that gains")
				})
			}
			require.NoError(t, file.Close())
		}
	}
}

// discard writes entries to nowhere.
func discard(opts Options, entries []Entry) error {
	w, err := NewWriter(io.Discard, testHeader(1), opts)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.Add(e.Key, e.Data); err != nil {
			return err
		}
	}
	return w.Close()
}

// readAll reads entries and counts them.
func readAll(entries iter.Seq2[Entry, error], want int) error {
	got := 0
	for _, err := range entries {
		if err != nil {
			return err
		}
		got++
	}
	if got != want {
		return fmt.Errorf("%d entries, want %d", got, want)
	}
	return nil
}
