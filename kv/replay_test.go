package kv

import (
	"context"
	"iter"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/wal"
)

// TestReplayUsesItsMemoryAgain counts every byte that was ever allocated. Chunks of mutations in new memory each were some
// three times as much, and were why a start from a long log took up to 1.4 times the memory of what it ended with.
func TestReplayUsesItsMemoryAgain(t *testing.T) {
	const commits = 200_000
	record := appendRecord(nil, 1, []Mutation{newPut([]byte("key"), make([]byte, 10), deadlineTime(0))})
	records := source{records: func(at moment) (iter.Seq2[wal.Record, error], error) {
		return func(yield func(wal.Record, error) bool) {
			for offset := at.offset + 1; offset <= commits && yield(wal.Record{Offset: offset, Payload: record}, nil); offset++ {
			}
		}, nil
	}}
	s := newState()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := replay{sources: []source{records}, report: func(Progress) {}}.run(context.Background(), s, 0)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.EqualValues(t, commits, s.offset)
	require.Equal(t, 1, s.tree.len())
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(commits*48), "a pair of 16 bytes, and less than half of a Mutation")
}
