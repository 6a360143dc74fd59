package vfs

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Writers, readers, stores through mappings without a lock, and a hook that takes crash states run at the same time. Under the
// race detector this shows that a Mem adds no races.
func TestAMemMayBeUsedConcurrently(t *testing.T) {
	mem := NewMem()
	mem.SetHook(func(c Call) error {
		if c.N%5 == 0 {
			mem.Crash(uint64(c.N), Policies[c.N%len(Policies)])
		}
		return nil
	})
	shared := create(t, mem, "shared", string(make([]byte, 8<<10)))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { churn(t, mem, shared, i) })
	}
	wg.Wait()
	require.Len(t, mem.Names(), 5)
	for i := range 4 {
		require.Equal(t, byte(50), read(t, shared)[2048*i+1000])
	}
}

// churn changes one part of the shared file, by stores and by writes, and another file.
func churn(t *testing.T, mem *Mem, shared File, i int) {
	name := fmt.Sprintf("own%d", i)
	own := create(t, mem, name, "")
	m, err := shared.Map(8 << 10)
	require.NoError(t, err)
	part := m.Bytes()[2048*i : 2048*(i+1)]
	for n := range 51 {
		part[1000] = byte(n)
		write(t, shared, int64(2048*i), fmt.Sprintf("writer %d round %d", i, n))
		part[1001] = byte(n)
		write(t, own, int64(n*100), "own")
		require.NoError(t, own.Sync())
		require.Equal(t, byte(n), read(t, shared)[2048*i+1000])
		require.NoError(t, mem.Rename(name, name+"x"))
		require.NoError(t, mem.SyncDir("/"))
		require.NoError(t, mem.Rename(name+"x", name))
	}
	require.NoError(t, m.Close())
}

func BenchmarkCrash(b *testing.B) {
	for _, policy := range []Policy{KeepNone, TornTail, Sectors} {
		b.Run(policy.String(), func(b *testing.B) {
			mem := NewMem()
			for _, name := range []string{"a", "b", "c"} {
				f := create(b, mem, name, string(make([]byte, 64<<10)))
				require.NoError(b, f.Sync())
				write(b, f, 0, string(make([]byte, 4<<10)))
			}
			b.ReportAllocs()
			for i := range b.N {
				mem.Crash(uint64(i), policy)
			}
		})
	}
}
