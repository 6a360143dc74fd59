package cluster

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftbench "github.com/hashicorp/raft/bench"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// BenchmarkRaft runs hashicorp/raft's benchmarks over the log and the stable file. Two of its ten don't fit a log without gaps, and are in
// TestTheLogRefusesWhatRaftsBenchmarksDo instead.
func BenchmarkRaft(b *testing.B) {
	for name, run := range map[string]func(*testing.B, raft.LogStore){
		"FirstIndex": raftbench.FirstIndex, "LastIndex": raftbench.LastIndex, "GetLog": raftbench.GetLog, "StoreLogs": raftbench.StoreLogs,
	} {
		b.Run(name, func(b *testing.B) {
			s := openShelf(b, b.TempDir())
			run(b, s)
			b.StopTimer()
			require.NoError(b, s.replica.DB().Close())
		})
	}
	for name, run := range map[string]func(*testing.B, raft.StableStore){
		"Set": raftbench.Set, "Get": raftbench.Get, "SetUint64": raftbench.SetUint64, "GetUint64": raftbench.GetUint64,
	} {
		b.Run(name, func(b *testing.B) {
			s := openShelf(b, b.TempDir())
			run(b, s.stable)
			b.StopTimer()
			require.NoError(b, s.replica.DB().Close())
		})
	}
}

// TestTheLogRefusesWhatRaftsBenchmarksDo is of StoreLog, which begins at index 0, and DeleteRange, which leaves gaps.
func TestTheLogRefusesWhatRaftsBenchmarksDo(t *testing.T) {
	s := openShelf(t, t.TempDir())
	require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 0, Data: []byte("data")}), kv.ErrOutOfRange)
	require.ErrorIs(t, s.StoreLogs([]*raft.Log{{Index: 1}, {Index: 2}, {Index: 10}}), kv.ErrOutOfRange)
	s.requireBounds(0, 0)
	require.NoError(t, s.replica.DB().Close())
}

// BenchmarkCutOfTen cuts ten entries off a log with 56 MiB of others.
func BenchmarkCutOfTen(b *testing.B) {
	s := openShelf(b, b.TempDir())
	const before, size = 14 << 10, 4 << 10
	store := func(first, last uint64) {
		var logs []*raft.Log
		for index := first; index <= last; index++ {
			logs = append(logs, &raft.Log{Index: index, Term: 1, Data: make([]byte, size)})
		}
		require.NoError(b, s.StoreLogs(logs))
	}
	for first := uint64(1); first < before; first += 64 {
		store(first, first+63)
	}
	longest := time.Duration(0)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		store(before+1, before+10)
		b.StartTimer()
		began := time.Now()
		require.NoError(b, s.DeleteRange(before+1, before+10))
		longest = max(longest, time.Since(began))
	}
	b.StopTimer()
	b.ReportMetric(float64(longest.Microseconds())/1000, "ms/longest")
	last, err := s.LastIndex()
	require.NoError(b, err)
	require.EqualValues(b, before, last)
	require.NoError(b, s.replica.DB().Close())
}
