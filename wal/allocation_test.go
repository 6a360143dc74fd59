//go:build !race

// The race detector makes pools drop things at random.

package wal

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireAllocations fails where an operation allocates more often than it needs today, which somebody should know, and
// where it does so less often, so that what was won is kept. Numbers are rounded down. The least of some measurements
// counts, because what goes on beside the operation only ever adds.
func requireAllocations(t *testing.T, most float64, do func() error) {
	t.Helper()
	measure := func() float64 {
		return testing.AllocsPerRun(100, func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		})
	}
	least := measure()
	for tries := 0; tries < 4 && least > most; tries++ {
		least = min(least, measure())
	}
	require.LessOrEqual(t, least, most,
		"it has become dearer: find out why with -memprofile, or raise the number and say in the commit what that buys")
}

// TestAllocationsOfTheLog holds an append to none, a read to the payload that it hands out, and a scan to what its start
// takes, however far it goes.
func TestAllocationsOfTheLog(t *testing.T) {
	for _, sync := range []SyncMode{SyncAlways, SyncNever} {
		t.Run(sync.String(), func(t *testing.T) {
			l, err := Open(t.TempDir(), Options{Sync: sync, IdleMark: -1, foreground: true})
			require.NoError(t, err)
			payload := make([]byte, 100)
			ten := make([][]byte, 10)
			for i := range ten {
				ten[i] = payload
			}
			for range 100 { // A thousand records.
				_, err := l.AppendBatch(ten)
				require.NoError(t, err)
			}
			for _, c := range []struct {
				sentence string
				most     float64
				do       func() error
			}{
				{"an append", 0, func() error {
					_, err := l.Append(payload)
					return err
				}},
				{"an append of ten", 0, func() error {
					_, err := l.AppendBatch(ten)
					return err
				}},
				{"an append that is waited for apart", 0, func() error {
					offset, _, err := l.Submit(payload)
					if err != nil {
						return err
					}
					return l.Wait(offset)
				}},
				{"a read", 1, func() error {
					_, err := l.Read(500)
					return err
				}},
				{"100 records in order", 3, func() error { return readInOrder(l, 100) }},
				{"1000 records in order", 3, func() error { return readInOrder(l, 1000) }},
			} {
				t.Run(c.sentence, func(t *testing.T) { requireAllocations(t, c.most, c.do) })
			}
			require.NoError(t, l.Close())
		})
	}
}

// readInOrder reads so many records from the first on.
func readInOrder(l *Log, count uint64) error {
	for record, err := range l.Records(1) {
		if err != nil {
			return err
		}
		if record.Offset == count {
			return nil
		}
	}
	return fmt.Errorf("the log ends before offset %d", count)
}

// TestAllocationsOfOpeningDoNotGrowWithTheLog holds recovery to what a log takes as such: no record has one of its own.
func TestAllocationsOfOpeningDoNotGrowWithTheLog(t *testing.T) {
	opens := func(records int) float64 {
		dir, opts := t.TempDir(), Options{Sync: SyncNever, IdleMark: -1, foreground: true}
		l, err := Open(dir, opts)
		require.NoError(t, err)
		for range records {
			_, err := l.Append([]byte("record"))
			require.NoError(t, err)
		}
		require.NoError(t, l.Close())
		return testing.AllocsPerRun(10, func() {
			l, err := Open(dir, opts)
			require.NoError(t, err)
			require.NoError(t, l.Close())
		})
	}
	few, many := opens(10), opens(10_000)
	require.Less(t, many, few+100, "a log of 10 records against one of 10,000")
}
