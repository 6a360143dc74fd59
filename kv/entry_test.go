package kv

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
)

// loadEntries loads a state of a snapshot with these entries twice, as a file and as a stream, and says how both ended.
func loadEntries(t *testing.T, entries []snapshot.Entry) (states [2]*state, errs [2]error) {
	t.Helper()
	var stream bytes.Buffer
	w, err := snapshot.NewWriter(&stream, snapshot.Header{Kind: kindPairs, Offset: 5}, snapshot.Options{BlockSize: 1000})
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, w.Add(e.Key, e.Data))
	}
	require.NoError(t, w.Close())
	mem := vfs.NewMem()
	require.NoError(t, mem.WriteFile("/some.file", stream.Bytes()))
	file, err := snapshot.Open(mem, "/some.file")
	require.NoError(t, err)
	in, err := snapshot.NewReader(&stream, snapshot.Options{})
	require.NoError(t, err)
	states[0], errs[0] = loadState(5, nil, snapshot.Decode(file, 3, decodePair), func(uint64) {})
	states[1], errs[1] = loadState(5, []byte("key"), decoded(in.Entries(), decodePair), func(uint64) {})
	return states, errs
}

func TestEntriesAreLoadedAsThePairsTheyWereMadeOf(t *testing.T) {
	made := newState()
	for i := range 10_000 {
		p := newPair(fmt.Appendf(nil, "key%05d", i), fmt.Appendf(nil, "value%d", i), int64(i%3))
		made.tree.put(p)
		made.count(p, 1)
	}
	var entries []snapshot.Entry
	for key, data := range made.entries() {
		entries = append(entries, snapshot.Entry{Key: bytes.Clone(key), Data: bytes.Clone(data)})
	}
	states, errs := loadEntries(t, entries)
	for i, s := range states {
		require.NoError(t, errs[i])
		require.EqualValues(t, 5, s.offset)
		require.Equal(t, made.dataBytes, s.dataBytes)
		require.Equal(t, made.sum, s.sum)
		require.Equal(t, made.tree.len(), s.tree.len())
		next := 0
		for key, data := range s.entries() {
			if !bytes.Equal(entries[next].Key, key) || !bytes.Equal(entries[next].Data, data) {
				t.Fatalf("%q is %q, want %q, %q", key, data, entries[next].Key, entries[next].Data)
			}
			next++
		}
	}
}

func TestAnEntryThatIsNoPairIsNotLoaded(t *testing.T) {
	good := snapshot.Entry{Key: []byte("a"), Data: []byte{0, 'v'}}
	for sentence, c := range map[string]struct {
		entries []snapshot.Entry
		want    error
	}{
		"an entry has no deadline": {[]snapshot.Entry{good, {Key: []byte("b")}}, errDeadline},
		"a deadline has no end":    {[]snapshot.Entry{good, {Key: []byte("b"), Data: []byte{0x80}}}, errDeadline},
		"a key is empty":           {[]snapshot.Entry{{Data: []byte{0}}, good}, ErrEmptyKey},
	} {
		states, errs := loadEntries(t, c.entries)
		for i := range states {
			require.ErrorIs(t, errs[i], c.want, sentence)
			require.Nil(t, states[i], sentence)
		}
	}
}
