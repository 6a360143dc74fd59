package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eachStore runs a test with every store that does a workload, but for the limits, in both modes.
func eachStore(t *testing.T, workload string, test func(t *testing.T, open func(writers int) Store)) {
	for _, peer := range allPeers() {
		if peer.OpenStore == nil || peer.Limit || peer.Only != "" && !matches(peer.Only, workload) {
			continue
		}
		for _, mode := range []Mode{Durable, Relaxed} {
			t.Run(peer.Name+"/"+string(mode), func(t *testing.T) {
				dir := t.TempDir()
				test(t, func(writers int) Store { return peer.OpenStore(dir, Settings{Mode: mode, Writers: writers}) })
			})
		}
	}
}

func get(t *testing.T, store Store, key string) (found string) {
	t.Helper()
	require.True(t, store.Get([]byte(key), func(value []byte) { found = string(value) }), key)
	return found
}

func scan(store Store, start string, limit int) (pairs []string) {
	store.Scan([]byte(start), limit, func(key, value []byte) { pairs = append(pairs, string(key)+"="+string(value)) })
	return pairs
}

func together(goroutines int, do func()) {
	var group sync.WaitGroup
	for range goroutines {
		group.Go(do)
	}
	group.Wait()
}

func TestStoresKeepWhatIsPut(t *testing.T) {
	eachStore(t, "W1/durable", func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		require.False(t, store.Get([]byte("absent"), nil))
		key, value := []byte("b"), []byte("one")
		store.Put(key, value)
		copy(value, "xxx") // What was passed is the caller's again.
		key[0] = 'z'
		require.Equal(t, "one", get(t, store, "b"))
		store.Put([]byte("b"), []byte("two"))
		store.Close()
		store = open(1)
		require.Equal(t, "two", get(t, store, "b"))
		store.Close()
	})
}

func TestStoresKeepBatches(t *testing.T) {
	eachStore(t, "W3/batch=100", func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		store.Batch([]Pair{{[]byte("d"), []byte("four")}, {[]byte("a\x00\xff"), []byte("zero")}})
		store.Close()
		store = open(1)
		require.Equal(t, "four", get(t, store, "d"))
		require.Equal(t, "zero", get(t, store, "a\x00\xff"))
		store.Close()
	})
}

func TestStoresScanInOrder(t *testing.T) {
	eachStore(t, "W5/full", func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		store.Batch([]Pair{{[]byte("d"), []byte("4")}, {[]byte("b"), []byte("2")}, {[]byte("c"), []byte("3")}})
		require.Equal(t, []string{"b=2", "c=3", "d=4"}, scan(store, "", 0))
		require.Equal(t, []string{"b=2", "c=3"}, scan(store, "b", 2), "from a key that is there")
		require.Equal(t, []string{"d=4"}, scan(store, "cc", 9), "from a key that is not there, past the end")
		require.Empty(t, scan(store, "e", 0))
		store.Close()
	})
}

func TestUpdatesOfOneKeyAreNotLost(t *testing.T) {
	const writers, each = 8, 25
	eachStore(t, "W6/F/durable", func(t *testing.T, open func(writers int) Store) {
		store := open(writers)
		together(writers, func() {
			for range each {
				store.Update([]byte("counter"), func(old []byte) []byte {
					if old == nil {
						old = make([]byte, 8)
					}
					return binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(old)+1)
				})
			}
		})
		require.EqualValues(t, writers*each, binary.BigEndian.Uint64([]byte(get(t, store, "counter"))))
		store.Close()
	})
}

func TestStoresTakeCheckpointsAndBackups(t *testing.T) {
	eachStore(t, "W1/durable", func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		store.Put([]byte("key"), []byte("a value to look for"))
		if checkpointer, can := store.(Checkpointer); can {
			checkpointer.Checkpoint()
			require.Equal(t, "a value to look for", get(t, store, "key"))
		}
		if backuper, can := store.(Backuper); can {
			var backup bytes.Buffer
			backuper.Backup(&backup)
			require.Contains(t, backup.String(), "a value to look for")
		}
		store.Close()
	})
}

func TestPairsExpireWhereTheyCan(t *testing.T) {
	eachStore(t, "T1/ttl", func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		if expirer, can := store.(Expirer); can {
			expirer.Batch([]Pair{{[]byte("stays"), []byte("1")}})
			expirer.BatchUntil([]Pair{{[]byte("goes later"), []byte("2")}}, time.Now().Add(time.Hour))
			expirer.BatchUntil([]Pair{{[]byte("a"), []byte("3")}, {[]byte("b"), []byte("4")}}, time.Now().Add(time.Millisecond))
			require.Eventually(t, func() bool { return expirer.Count() == 2 }, 30*time.Second, 10*time.Millisecond)
			require.False(t, store.Get([]byte("a"), nil))
			require.Equal(t, "1", get(t, store, "stays"))
			require.Equal(t, "2", get(t, store, "goes later"))
		}
		store.Close()
	})
}

// TestWalnutCountsExpiredPairsUntilTheyAreGone: otherwise T1/ttl would measure how soon they are invisible, which is at once.
func TestWalnutCountsExpiredPairsUntilTheyAreGone(t *testing.T) {
	store := walnutPeer.OpenStore(t.TempDir(), Settings{Mode: Durable, Writers: 1}).(Expirer)
	pairs := make([]Pair, 100_000) // So many that the sweep takes much longer than counting once.
	for i := range pairs {
		pairs[i] = Pair{fmt.Append(nil, i), []byte("value")}
	}
	store.BatchUntil(pairs, time.Now().Add(-time.Second))
	require.NotZero(t, store.Count())
	require.Eventually(t, func() bool { return store.Count() == 0 }, time.Minute, 10*time.Millisecond)
	store.Close()
}

func TestLogsGiveBackWhatWasAppended(t *testing.T) {
	for _, peer := range allPeers() {
		if peer.OpenLog == nil || peer.Limit {
			continue
		}
		for _, mode := range []Mode{Durable, Relaxed} {
			t.Run(peer.Name+"/"+string(mode), func(t *testing.T) {
				dir, big := t.TempDir(), strings.Repeat("3", 70_000)
				log := peer.OpenLog(dir, Settings{Mode: mode, Writers: 4})
				log.Append([]byte("first"))
				log.AppendBatch([][]byte{[]byte("second"), []byte(big)})
				together(2, func() { log.Append([]byte("same")) })
				log.Close()
				log = peer.OpenLog(dir, Settings{Mode: mode, Writers: 4})
				var got []string
				log.ReadAll(func(record []byte) { got = append(got, string(record)) })
				require.Equal(t, []string{"first", "second", big, "same", "same"}, got)
				log.Append([]byte("sixth")) // A log that was opened again goes on.
				log.Close()
			})
		}
	}
}

func TestReadmeNamesEveryPeerWithItsVersionAndEveryWorkload(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, peer := range allPeers() {
		row := "| " + peer.Name + " | "
		if peer.Module != "" && peer.Name != walnutName {
			require.NotEmpty(t, peer.version(), peer.Name)
			row += peer.Module + " " + peer.version() + " |"
		}
		require.Contains(t, string(readme), row)
	}
	for _, w := range workloads {
		parts := strings.Split(w.ID, "/")
		require.Contains(t, string(readme), "`"+parts[0]+"/"+parts[1], w.ID)
	}
}

func TestQueuesGiveEachPairOnce(t *testing.T) {
	eachStore(t, "T1/queue", func(t *testing.T, open func(writers int) Store) {
		const poppers, each = 4, 10
		queue, can := open(poppers).(Queue)
		if !can {
			t.Skip("no workload asks it for a queue")
		}
		for i := range poppers*each + 1 {
			queue.Put(fmt.Appendf(nil, "%04d", i), []byte("job"))
		}
		together(poppers, func() {
			for range each {
				if !queue.Pop() {
					t.Error("there should be more")
				}
			}
		})
		require.Equal(t, []string{fmt.Sprintf("%04d=job", poppers*each)}, scan(queue, "", 0), "the last one is left, and none was taken twice")
		require.True(t, queue.Pop())
		require.False(t, queue.Pop())
		queue.Close()
	})
}

func TestWalnutsViewsAndWatchers(t *testing.T) {
	eachStore(t, "W8/held", func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		defer store.Close()
		holder, can := store.(Holder)
		if !can {
			t.Skip("no workload asks it for views")
		}
		holder.Put([]byte("key"), []byte("old"))
		release := holder.Hold()
		holder.Put([]byte("key"), []byte("new"))
		release()
		require.Equal(t, "new", get(t, holder, "key"))
		ctx, stop := context.WithCancel(t.Context())
		ready, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			store.(Watchable).Watch(ctx, func() { close(ready) })
		}()
		<-ready
		holder.Put([]byte("key"), []byte("newer"))
		stop()
		<-ended
	})
}

func TestLogsPickRecords(t *testing.T) {
	for _, peer := range allPeers() {
		if peer.OpenLog == nil || peer.Limit {
			continue
		}
		t.Run(peer.Name, func(t *testing.T) {
			dir := t.TempDir()
			log := peer.OpenLog(dir, Settings{Mode: Durable, Writers: 1})
			if _, can := log.(PickLog); !can {
				log.Close()
				t.Skip("no workload asks it for single records")
			}
			log.AppendBatch([][]byte{[]byte("one"), []byte("two"), []byte("three")})
			log.Close()
			log = peer.OpenLog(dir, Settings{Mode: Durable, Writers: 1})
			for i, want := range []string{"one", "two", "three"} {
				log.(PickLog).Read(uint64(i+1), func(record []byte) { require.Equal(t, want, string(record)) })
			}
			log.Close()
		})
	}
}
