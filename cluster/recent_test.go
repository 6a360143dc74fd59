package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// TestRecentEntriesAreThoseOfTheLog appends, cuts and drops at random, and compares each entry that is kept with the one on the disk.
func TestRecentEntriesAreThoseOfTheLog(t *testing.T) {
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := openShelf(t, t.TempDir())
		hits := 0
		for step := range 100 {
			first, last := s.log.Bounds()
			switch random.IntN(10) {
			case 0:
				if last >= first {
					require.NoError(t, s.DeleteRange(last-random.Uint64N(min(last-first+1, 70)), last))
				}
			case 1:
				require.Error(t, s.StoreLog(&raft.Log{Index: last + 2, Term: 9, Data: []byte("a hole")}))
			default:
				var logs []*raft.Log
				for i := range 1 + random.Uint64N(40) {
					data := fmt.Appendf(nil, "step %d, entry %d", step, i)
					if random.IntN(20) == 0 {
						data = make([]byte, recentBytes+1)
					}
					logs = append(logs, &raft.Log{Index: last + 1 + i, Term: uint64(step + 1), Data: data, Extensions: []byte("x")})
				}
				require.NoError(t, s.StoreLogs(logs))
			}
			_, last = s.log.Bounds()
			for index := max(last, 100) - 100; index <= last+50; index++ {
				var kept, read raft.Log
				if !s.recent.get(index, &kept) {
					continue
				}
				hits++
				require.LessOrEqual(t, len(kept.Data), recentBytes)
				e, err := s.log.Read(index)
				require.NoError(t, err, "seed %d, step %d", seed, step)
				require.NoError(t, s.GetLog(index, &read))
				require.Equal(t, kept, read)
				require.Equal(t, []any{e.Term, e.Offset, e.Data, e.Extensions}, []any{kept.Term, kept.Index, kept.Data, kept.Extensions},
					"seed %d, step %d", seed, step)
			}
		}
		require.NotZero(t, hits)
		require.NoError(t, s.replica.DB().Close())
	}
}

func TestARecentEntryIsReadIntoItsOwnMemory(t *testing.T) {
	r, data := &recent{}, []byte("proposed here")
	r.keep([]*raft.Log{{Index: 1, Term: 1, Data: data}})
	var read raft.Log
	require.True(t, r.get(1, &read))
	require.Equal(t, data, read.Data)
	require.NotSame(t, &data[0], &read.Data[0])
}
