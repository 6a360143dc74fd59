package cluster

import (
	"fmt"
	"slices"
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
	require.ErrorIs(t, s.StoreLog(&raft.Log{Index: 0, Data: []byte("data")}), kv.ErrConflict)
	require.ErrorIs(t, s.StoreLogs([]*raft.Log{{Index: 1}, {Index: 2}, {Index: 10}}), kv.ErrOutOfRange)
	s.requireBounds(0, 0)
	require.NoError(t, s.replica.DB().Close())
}

// BenchmarkCutOfTen cuts ten entries off a log: one with 56 MiB of others, and one with hardly any.
func BenchmarkCutOfTen(b *testing.B) {
	const size = 4 << 10
	for _, before := range []uint64{64, 14 << 10} {
		b.Run(fmt.Sprint("after ", before, " entries"), func(b *testing.B) {
			s := openShelf(b, b.TempDir())
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
			var times []time.Duration
			for range b.N {
				store(before+1, before+10)
				began := time.Now()
				require.NoError(b, s.DeleteRange(before+1, before+10))
				times = append(times, time.Since(began))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms/median")
			b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "ms/longest")
			last, err := s.LastIndex()
			require.NoError(b, err)
			require.Equal(b, before, last)
			require.NoError(b, s.replica.DB().Close())
		})
	}
}
