package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
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

// TestAReplayInAnotherOrderMakesTheSameState replays commits of puts and deletes of few keys, whose order counts, and some range deletes.
func TestAReplayInAnotherOrderMakesTheSameState(t *testing.T) {
	for name, key := range map[string]func(i int) []byte{
		"short keys, one of which begins the others": func(i int) []byte { return bytes.Repeat([]byte("k"), 1+i%200) },
		"a long prefix in common":                    func(i int) []byte { return fmt.Appendf(nil, "something in common %03d", i) },
		"nothing in common":                          func(i int) []byte { return noiseKey(uint64(i)) },
		"a single key":                               func(int) []byte { return []byte("k") },
	} {
		t.Run(name, func(t *testing.T) {
			random, want := rand.New(rand.NewPCG(1, 1)), newState()
			var commits [][]byte
			for len(commits) < 2*replayChunk {
				var mutations []Mutation
				for range 1 + random.IntN(3) {
					value := binary.BigEndian.AppendUint64(nil, random.Uint64())
					m := newPut(key(random.IntN(1000)), value, deadlineTime(random.Int64N(2)*random.Int64()))
					switch roll := random.IntN(9000); {
					case roll == 0:
						m = Mutation{Kind: MutationDeleteRange, Key: m.Key}
					case roll < 3000:
						m = Mutation{Kind: MutationDelete, Key: m.Key}
					}
					mutations = append(mutations, m)
				}
				commits = append(commits, appendRecord(nil, 1, mutations))
				want.apply(uint64(len(commits)), mutations)
			}
			got := newState()
			records := source{path: func(uint64) string { return "log" }, records: func(at moment) (iter.Seq2[wal.Record, error], error) {
				return func(yield func(wal.Record, error) bool) {
					for i, commit := range commits {
						if !yield(wal.Record{Offset: uint64(i) + 1, Payload: commit}, nil) {
							return
						}
					}
				}, nil
			}}
			_, err := replay{sources: []source{records}, report: func(Progress) {}}.run(t.Context(), got, 0)
			require.NoError(t, err)
			require.Equal(t, want.offset, got.offset)
			require.Equal(t, want.sum, got.sum)
			require.Equal(t, want.dataBytes, got.dataBytes)
			require.Equal(t, want.tree.len(), got.tree.len())
			require.Equal(t, want.deadlines.items.Len(), got.deadlines.items.Len())
		})
	}
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
