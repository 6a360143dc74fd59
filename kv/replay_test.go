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

// TestALargeCommitOfSmallMutationsIsReplayedInParts counts every byte that was ever allocated. A list of the mutations took a hundred times as
// much memory as the commit, so that a store with such a commit might not open again on the machine that had written it.
func TestALargeCommitOfSmallMutationsIsReplayedInParts(t *testing.T) {
	const deletes = 500_000
	mutations := make([]Mutation, deletes)
	for i := range mutations {
		mutations[i] = Mutation{Kind: MutationDelete, Key: []byte("k")}
	}
	put := newPut([]byte("k"), []byte("v"), deadlineTime(0))
	commits := [][]byte{appendRecord(nil, 1, []Mutation{put}), appendRecord(nil, 2, append(mutations, put)), appendRecord(nil, 3, mutations)}
	clear(mutations)
	records := source{path: func(uint64) string { return "log" }}
	records.records = func(at moment) (iter.Seq2[wal.Record, error], error) {
		return func(yield func(wal.Record, error) bool) {
			for i, commit := range commits {
				if !yield(wal.Record{Offset: uint64(i) + 1, Payload: commit}, nil) {
					return
				}
			}
		}, nil
	}
	for to, keys := range []int{1: 1, 2: 1, 3: 0} {
		if to == 0 {
			continue
		}
		s := newState()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		done, err := replay{sources: []source{records}, to: target{offset: uint64(to)}, report: func(Progress) {}}.run(t.Context(), s, 0)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Equal(t, moment{uint64(to), int64(to), uint64(to)}, done.moment)
		require.EqualValues(t, to, s.offset)
		require.Equal(t, keys, s.tree.len())
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4*len(commits[1])+1<<20)*uint64(to), "up to %d", to)
	}
	commits[1] = append(commits[1], 0xff) // Its end can't be decoded.
	_, err := replay{sources: []source{records}, report: func(Progress) {}}.run(t.Context(), newState(), 0)
	require.ErrorIs(t, err, ErrCorrupt)
}
