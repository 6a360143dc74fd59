package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// eachStore runs a test with every store that does all there is to do, in both modes.
func eachStore(t *testing.T, test func(t *testing.T, open func(writers int) Store)) {
	for _, peer := range peers {
		if peer.OpenStore == nil || peer.Limit {
			continue
		}
		for _, mode := range []Mode{Durable, Relaxed} {
			t.Run(peer.Name+"/"+string(mode), func(t *testing.T) {
				dir := t.TempDir()
				test(t, func(writers int) Store {
					store, err := peer.OpenStore(dir, Settings{Mode: mode, Writers: writers})
					require.NoError(t, err)
					return store
				})
			})
		}
	}
}

// exercise does everything that a Store can do, and is right about its outcome.
func exercise(t *testing.T, store Store) {
	require.ErrorIs(t, store.Get([]byte("absent"), nil), errNotFound)
	key, value := []byte("b"), []byte("one")
	require.NoError(t, store.Put(key, value))
	copy(value, "xxx") // What was passed is the caller's again.
	key[0] = 'z'
	require.Equal(t, "one", get(t, store, "b"))
	require.NoError(t, store.Put([]byte("b"), []byte("two")))
	require.Equal(t, "two", get(t, store, "b"))
	require.NoError(t, store.Batch([]Pair{
		{[]byte("d"), []byte("four")}, {[]byte("a\x00\xff"), []byte("zero")}, {[]byte("c"), []byte("three")},
	}))
	require.NoError(t, store.Update([]byte("c"), func(old []byte) []byte { return append(bytes.Clone(old), " and more"...) }))
	require.NoError(t, store.Update([]byte("e"), func(old []byte) []byte { return fmt.Appendf(nil, "%d", len(old)) }))
}

func requireExercised(t *testing.T, store Store) {
	require.Equal(t, []string{"a\x00\xff=zero", "b=two", "c=three and more", "d=four", "e=0"}, scan(t, store, "", 0))
	require.Equal(t, []string{"b=two", "c=three and more"}, scan(t, store, "b", 2), "from a key that is there")
	require.Equal(t, []string{"d=four", "e=0"}, scan(t, store, "cc", 9), "from a key that is not there, past the end")
	require.Empty(t, scan(t, store, "f", 0))
}

func get(t *testing.T, store Store, key string) (found string) {
	require.NoError(t, store.Get([]byte(key), func(value []byte) { found = string(value) }))
	return found
}

func scan(t *testing.T, store Store, start string, limit int) (pairs []string) {
	require.NoError(t, store.Scan([]byte(start), limit, func(key, value []byte) {
		pairs = append(pairs, string(key)+"="+string(value))
	}))
	return pairs
}

func TestStoresDoTheSame(t *testing.T) {
	eachStore(t, func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		exercise(t, store)
		requireExercised(t, store)
		require.NoError(t, store.Sync())
		requireExercised(t, store)
		require.NoError(t, store.Close())
		store = open(1)
		requireExercised(t, store)
		require.NoError(t, store.Close())
	})
}

func TestTreeLimitDoesTheSame(t *testing.T) {
	store, err := openTreeLimit("", Settings{})
	require.NoError(t, err)
	exercise(t, store)
	requireExercised(t, store)
}

func TestUpdatesOfOneKeyDoNotLoseEachOther(t *testing.T) {
	const writers, each = 8, 25
	eachStore(t, func(t *testing.T, open func(writers int) Store) {
		store := open(writers)
		count := func(old []byte) []byte {
			if old == nil {
				old = make([]byte, 8)
			}
			return binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(old)+1)
		}
		require.NoError(t, store.Put([]byte("counter"), make([]byte, 8)))
		together(t, writers, func() error {
			for range each {
				if err := store.Update([]byte("counter"), count); err != nil {
					return err
				}
			}
			return nil
		})
		require.Equal(t, uint64(writers*each), binary.BigEndian.Uint64([]byte(get(t, store, "counter"))))
		require.NoError(t, store.Close())
	})
}

// together runs something in many goroutines at a time.
func together(t *testing.T, goroutines int, do func() error) {
	t.Helper()
	errs := make([]error, goroutines)
	var group sync.WaitGroup
	for i := range goroutines {
		group.Go(func() { errs[i] = do() })
	}
	group.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func TestLogsGiveBackWhatWasAppended(t *testing.T) {
	for _, peer := range peers {
		if peer.OpenLog == nil || peer.Limit {
			continue
		}
		for _, mode := range []Mode{Durable, Relaxed} {
			t.Run(peer.Name+"/"+string(mode), func(t *testing.T) {
				dir := t.TempDir()
				open := func() (Log, []string) {
					log, err := peer.OpenLog(dir, Settings{Mode: mode, Writers: 4})
					require.NoError(t, err)
					return log, nil
				}
				log, want := open()
				require.NoError(t, log.Append([]byte("first")))
				require.NoError(t, log.AppendBatch([][]byte{[]byte("second"), bytes.Repeat([]byte("3"), 70_000)}))
				together(t, 4, func() error { return log.Append([]byte("same")) })
				require.NoError(t, log.Close())
				want = append(want, "first", "second", string(bytes.Repeat([]byte("3"), 70_000)), "same", "same", "same", "same")
				log, got := open()
				require.NoError(t, log.ReadAll(func(record []byte) { got = append(got, string(record)) }))
				require.Equal(t, want, got)
				require.NoError(t, log.Append([]byte("eighth")), "a log that was opened again goes on")
				require.NoError(t, log.Close())
			})
		}
	}
}

func TestFileLimitWritesEveryAppendOnce(t *testing.T) {
	for _, mode := range []Mode{Durable, Relaxed} {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			log, err := openFileLimit(dir, Settings{Mode: mode})
			require.NoError(t, err)
			together(t, 16, func() error { return log.Append([]byte("record")) })
			require.Equal(t, int64(16*len("record")), log.position)
			got := []byte{}
			require.NoError(t, log.ReadAll(func(piece []byte) { got = append(got, piece...) }))
			require.Equal(t, bytes.Repeat([]byte("record"), 16), got[:log.position])
			require.NoError(t, log.Close())
		})
	}
}

func TestPeersHaveNamesOfTheirOwnAndVersions(t *testing.T) {
	names := peerNames()
	slices.Sort(names)
	require.Equal(t, len(names), len(slices.Compact(names)))
	for _, peer := range peers {
		if peer.Module != "" {
			require.NotEmpty(t, peer.version(), "%s: is %s what it is built from?", peer.Name, peer.Module)
		}
		require.True(t, slices.ContainsFunc(workloads, peer.takes), "%s takes part in nothing", peer.Name)
	}
}

func TestReadmeNamesEveryPeerWithItsVersionAndEveryWorkload(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, peer := range peers {
		row := "| " + peer.Name + " | "
		if !peer.Limit && peer.Name != walnutName {
			row += peer.Module + " " + peer.version() + " |"
		}
		require.Contains(t, string(readme), row)
		if peer.Limit && peer.Module != "" {
			require.Contains(t, string(readme), strings.TrimPrefix(peer.Module, "github.com/")+" "+peer.version())
		}
	}
	for _, workload := range workloads {
		parts := strings.Split(workload.Name, "/")
		name, _, _ := strings.Cut(parts[0]+"/"+parts[1], "=")
		require.Contains(t, string(readme), "`"+name, workload.Name)
	}
}
