package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeysOfEveryShapeAreDistinctAndOfTheStatedSize(t *testing.T) {
	for _, test := range []struct {
		shape         string
		size          int
		common        string // What every key begins with.
		keys, ordered []string
	}{
		{shape: randomKeys, size: 16},
		{
			shape: sequentialKeys, size: 16, common: "user0000000",
			keys: []string{"user000000000000", "user000000000001"}, ordered: []string{"user000000000000", "user000000000001"},
		},
		{shape: prefixedKeys, size: 64, common: sharedPrefix},
	} {
		t.Run(test.shape, func(t *testing.T) {
			data, err := Spec{Pairs: 10_000, Seed: 7, Keys: test.shape}.data()
			require.NoError(t, err)
			require.Equal(t, test.size, data.keySize())
			for _, make := range []func(dataset, []byte, uint64){dataset.key, dataset.orderedKey} {
				requireDistinct(t, data, make, test.common)
			}
			for i, want := range test.keys {
				require.Equal(t, want, string(keyOf(data, dataset.key, uint64(i))))
				require.Equal(t, test.ordered[i], string(keyOf(data, dataset.orderedKey, uint64(i))))
			}
		})
	}
	require.Len(t, sharedPrefix, 48)
}

func requireDistinct(t *testing.T, data dataset, make func(dataset, []byte, uint64), common string) {
	t.Helper()
	seen := map[string]bool{}
	for i := range data.pairs {
		key := keyOf(data, make, i)
		require.True(t, bytes.HasPrefix(key, []byte(common)), "%q", key)
		require.NotEqual(t, byte(0), key[len(key)-1]|key[len(key)-2]|key[len(key)-3], "the key is written to its end: %q", key)
		seen[string(key)] = true
	}
	require.Len(t, seen, int(data.pairs))
}

func keyOf(data dataset, put func(dataset, []byte, uint64), i uint64) []byte {
	key := make([]byte, data.keySize())
	put(data, key, i)
	return key
}

func TestOrderedKeysOfEveryShapeAscend(t *testing.T) {
	for shape := range keyShapes {
		data := dataset{pairs: 1000, seed: 7, shape: keyShape(shape)}
		before := []byte{}
		for i := range data.pairs {
			key := keyOf(data, dataset.orderedKey, i)
			require.Negative(t, bytes.Compare(before, key), "%s: pair %d", keyShapes[shape], i)
			before = key
		}
	}
}

func TestPairsAreStoredWithKeysAndValuesOfTheDataSet(t *testing.T) {
	for _, shape := range keyShapes {
		for _, size := range []int{1, 16, 100, 65536} {
			t.Run(fmt.Sprintf("%s/%d", shape, size), func(t *testing.T) {
				data, err := Spec{Pairs: 40, Seed: 1, Keys: shape, Value: size}.data()
				require.NoError(t, err)
				store, err := openWalnut(t.TempDir(), Settings{Mode: Relaxed})
				require.NoError(t, err)
				require.NoError(t, load(store, data))
				require.NoError(t, shuffledInto(store, data), "the same pairs again")
				bytes, pairs := uint64(0), uint64(0)
				require.NoError(t, store.Scan(nil, 0, func(key, value []byte) {
					require.Len(t, key, data.keySize())
					require.Len(t, value, size)
					bytes += uint64(len(key) + len(value))
					pairs++
				}))
				require.Equal(t, data.pairs, pairs)
				require.Equal(t, data.bytes(), bytes)
				require.NoError(t, store.Close())
			})
		}
	}
}

func shuffledInto(store Store, data dataset) error {
	_, err := drive([]*worker{newWorker(data, 0, 1)}, putShuffled(store), bounds{operations: int64(data.pairs)})
	return err
}

func TestPopularPairsAreScatteredWhereKeysCount(t *testing.T) {
	for _, test := range []struct {
		shape keyShape
		want  []uint32
	}{
		{randomShape, []uint32{0, 1, 2, 0}},
		{sequentialShape, nil},
	} {
		data := dataset{pairs: 1000, seed: 1, shape: test.shape}
		ranks := []uint32{0, 1, 2, 0}
		data.spread(ranks)
		require.Equal(t, ranks[0], ranks[3], "a rank is one pair")
		require.Equal(t, test.shape == randomShape, ranks[1] == 1 && ranks[2] == 2)
		if test.want != nil {
			require.Equal(t, test.want, ranks)
		}
	}
}

func TestUnknownKeysAreRefused(t *testing.T) {
	_, err := newRun(Spec{Workload: "S/put/goroutines=1", Peer: walnutName, Keys: "round"})
	require.ErrorContains(t, err, `no keys are called "round"; there are random, sequential, prefixed`)
}

func TestValuesOfEverySizeAreIncompressibleAndDistinct(t *testing.T) {
	for _, size := range []int{1, 7, 100, 511, 512, 545, 65536, 1 << 20} {
		one, other := make([]byte, size), make([]byte, size)
		dataset{seed: 1}.value(one, 1)
		dataset{seed: 1}.value(other, 2)
		require.NotEqual(t, one, other, "%d bytes", size)
		var compressed bytes.Buffer
		w, err := flate.NewWriter(&compressed, flate.BestCompression)
		require.NoError(t, err)
		_, err = w.Write(append(one, other...))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.GreaterOrEqual(t, compressed.Len(), 2*size, "%d bytes", size)
	}
}
