package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// eachStore runs a test with every store but the limits, in both modes.
func eachStore(t *testing.T, test func(t *testing.T, open func(writers int) Store)) {
	for _, peer := range allPeers() {
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

func get(t *testing.T, store Store, key string) (found string) {
	t.Helper()
	require.NoError(t, store.Get([]byte(key), func(value []byte) { found = string(value) }))
	return found
}

func scan(t *testing.T, store Store, start string, limit int) (pairs []string) {
	t.Helper()
	require.NoError(t, store.Scan([]byte(start), limit, func(key, value []byte) {
		pairs = append(pairs, string(key)+"="+string(value))
	}))
	return pairs
}

func together(goroutines int, do func() error) error {
	errs := make([]error, goroutines)
	var group sync.WaitGroup
	for i := range goroutines {
		group.Go(func() { errs[i] = do() })
	}
	group.Wait()
	return errors.Join(errs...)
}

func TestStoresKeepWhatIsPut(t *testing.T) {
	eachStore(t, func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		require.ErrorIs(t, store.Get([]byte("absent"), nil), errNotFound)
		key, value := []byte("b"), []byte("one")
		require.NoError(t, store.Put(key, value))
		copy(value, "xxx") // What was passed is the caller's again.
		key[0] = 'z'
		require.Equal(t, "one", get(t, store, "b"))
		require.NoError(t, store.Put([]byte("b"), []byte("two")))
		err := store.Batch([]Pair{{[]byte("d"), []byte("four")}, {[]byte("a\x00\xff"), []byte("zero")}, {[]byte("c"), []byte("three")}})
		if errors.Is(err, errUnsupported) {
			t.Skip("it has no batches")
		}
		require.NoError(t, err)
		require.NoError(t, store.Close())
		store = open(1)
		require.Equal(t, "two", get(t, store, "b"))
		require.Equal(t, "zero", get(t, store, "a\x00\xff"))
		require.NoError(t, store.Close())
	})
}

func TestStoresScanAndUpdate(t *testing.T) {
	const writers, each = 8, 25
	eachStore(t, func(t *testing.T, open func(writers int) Store) {
		store := open(writers)
		defer func() { require.NoError(t, store.Close()) }()
		if errors.Is(store.Scan(nil, 1, func([]byte, []byte) {}), errUnsupported) {
			t.Skip("it has neither")
		}
		require.NoError(t, store.Batch([]Pair{{[]byte("d"), []byte("4")}, {[]byte("b"), []byte("2")}, {[]byte("c"), []byte("3")}}))
		require.Equal(t, []string{"b=2", "c=3", "d=4"}, scan(t, store, "", 0))
		require.Equal(t, []string{"b=2", "c=3"}, scan(t, store, "b", 2), "from a key that is there")
		require.Equal(t, []string{"d=4"}, scan(t, store, "cc", 9), "from a key that is not there, past the end")
		require.Empty(t, scan(t, store, "e", 0))
		count := func(old []byte) []byte {
			if old == nil {
				old = make([]byte, 8)
			}
			return binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(old)+1)
		}
		require.NoError(t, together(writers, func() (err error) {
			for i := 0; i < each && err == nil; i++ {
				err = store.Update([]byte("counter"), count)
			}
			return err
		}))
		require.EqualValues(t, writers*each, binary.BigEndian.Uint64([]byte(get(t, store, "counter"))), "updates were lost")
	})
}

func TestStoresTakeCheckpointsAndBackups(t *testing.T) {
	eachStore(t, func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		defer func() { require.NoError(t, store.Close()) }()
		require.NoError(t, store.Put([]byte("key"), []byte("a value to look for")))
		if checkpointer, can := store.(Checkpointer); can {
			require.NoError(t, checkpointer.Checkpoint())
			require.Equal(t, "a value to look for", get(t, store, "key"))
		}
		if backuper, can := store.(Backuper); can {
			var backup bytes.Buffer
			require.NoError(t, backuper.Backup(&backup))
			require.Contains(t, backup.String(), "a value to look for")
		}
	})
}

func TestLogsGiveBackWhatWasAppended(t *testing.T) {
	for _, peer := range allPeers() {
		if peer.OpenLog == nil || peer.Limit {
			continue
		}
		for _, mode := range []Mode{Durable, Relaxed} {
			t.Run(peer.Name+"/"+string(mode), func(t *testing.T) {
				dir := t.TempDir()
				open := func() Log {
					log, err := peer.OpenLog(dir, Settings{Mode: mode, Writers: 4})
					require.NoError(t, err)
					return log
				}
				log, big := open(), strings.Repeat("3", 70_000)
				require.NoError(t, log.Append([]byte("first")))
				require.NoError(t, log.AppendBatch([][]byte{[]byte("second"), []byte(big)}))
				require.NoError(t, together(2, func() error { return log.Append([]byte("same")) }))
				require.NoError(t, log.Close())
				log = open()
				var got []string
				require.NoError(t, log.ReadAll(func(record []byte) { got = append(got, string(record)) }))
				require.Equal(t, []string{"first", "second", big, "same", "same"}, got)
				require.NoError(t, log.Append([]byte("sixth")), "a log that was opened again goes on")
				require.NoError(t, log.Close())
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
