package kv

import (
	"bytes"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// requirePair checks all that a pair says of itself.
func requirePair(t *testing.T, p pair, key, value []byte, deadline int64) {
	t.Helper()
	require.True(t, bytes.Equal(key, p.key()), "key of %d bytes", len(key))
	require.True(t, bytes.Equal(value, p.value()), "value of %d bytes", len(value))
	require.NotNil(t, p.value(), "an empty value is not nil")
	require.Equal(t, len(key), cap(p.key()), "an append to the key must not reach the value")
	require.Equal(t, len(value), cap(p.value()), "an append to the value must not reach the deadline")
	require.Equal(t, deadline, p.deadline())
	require.Equal(t, deadline != 0, p.hasDeadline())
	require.EqualValues(t, len(key)+len(value), p.size())
}

func TestPairHoldsWhatItIsGiven(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), MaxValueSize/16)
	cases := []struct {
		sentence string
		key      []byte
		value    []byte
		deadline int64
	}{
		{"a short key and value", []byte("k"), []byte("v"), 0},
		{"a nil value", []byte("k"), nil, 0},
		{"an empty value with a deadline", []byte("k"), []byte{}, 1},
		{"the longest key", long[:MaxKeySize], []byte("v"), 0},
		{"the longest value", []byte("k"), long, 0},
		{"both, with a deadline", long[:MaxKeySize], long, math.MaxInt64},
		{"a deadline before 1970", []byte("k"), []byte("v"), math.MinInt64},
		{"a deadline whose bytes are all ones", []byte("k"), []byte("v"), -1},
		{"a key longer than a store takes, as a foreign record may have it", long[:MaxKeySize+1], nil, 0},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			requirePair(t, newPair(c.key, c.value, c.deadline), c.key, c.value, c.deadline)
		})
	}
}

func TestPairOwnsItsMemory(t *testing.T) {
	key, value := []byte("key"), []byte("value")
	p := newPair(key, value, 7)
	clear(key)
	clear(value)
	requirePair(t, p, []byte("key"), []byte("value"), 7)
}

func TestPairKeepsItsMemoryAlive(t *testing.T) {
	pairs := make([]pair, 1000)
	for i := range pairs {
		pairs[i] = newPair([]byte{byte(i), byte(i >> 8)}, bytes.Repeat([]byte{byte(i)}, i), int64(i))
	}
	values := make([][]byte, len(pairs))
	for i, p := range pairs {
		values[i] = p.value()
		if i%2 == 0 {
			pairs[i] = pair{}
		}
	}
	for range 3 {
		runtime.GC()
		for i := range 1000 { // What was freed by mistake gets used again.
			newPair([]byte("other"), bytes.Repeat([]byte{0xee}, i), 0)
		}
	}
	for i, p := range pairs {
		want := bytes.Repeat([]byte{byte(i)}, i)
		require.True(t, bytes.Equal(want, values[i]), "value %d, which alone holds the memory of every second pair", i)
		if i%2 == 1 {
			requirePair(t, p, []byte{byte(i), byte(i >> 8)}, want, int64(i))
		}
	}
}

func TestPairIsOneAllocation(t *testing.T) {
	key, value := []byte("0123456789abcdef"), make([]byte, 100)
	var kept pair
	require.Equal(t, 1.0, testing.AllocsPerRun(100, func() { kept = newPair(key, value, 0) }))
	require.Equal(t, 1.0, testing.AllocsPerRun(100, func() { kept = newPair(key, value, 1) }))
	requirePair(t, kept, key, value, 1)
}

func TestPairExpiresAtItsDeadline(t *testing.T) {
	p := newPair([]byte("k"), nil, 10)
	require.False(t, p.expired(9))
	require.True(t, p.expired(10))
	require.True(t, newPair([]byte("k"), nil, -5).expired(0))
	require.False(t, newPair([]byte("k"), nil, 0).expired(math.MaxInt64), "no deadline")
}

func TestProbeOfNothing(t *testing.T) {
	require.Empty(t, probe(nil).key())
	require.Empty(t, pair{}.key())
	require.Zero(t, pair{}.size())
}

func FuzzPair(f *testing.F) {
	f.Add([]byte("k"), []byte("v"), int64(0))
	f.Add([]byte("0123456789abcdef"), []byte{}, int64(-1))
	f.Add([]byte{0}, []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, key, value []byte, deadline int64) {
		if len(key) == 0 {
			return // No pair has an empty key.
		}
		requirePair(t, newPair(key, value, deadline), key, value, deadline)
	})
}
