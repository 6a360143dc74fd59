package kv

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBatchCopiesWhatItIsGiven(t *testing.T) {
	key, value, end := []byte("key"), []byte("value"), []byte("zzz")
	var b Batch
	b.Put(key, value)
	b.Delete(key)
	b.DeleteRange(key, end)
	clear(key)
	clear(value)
	clear(end)
	require.Equal(t, []Mutation{
		{Kind: MutationPut, Key: []byte("key"), Value: []byte("value")},
		{Kind: MutationDelete, Key: []byte("key")},
		{Kind: MutationDeleteRange, Key: []byte("key"), End: []byte("zzz")},
	}, withoutPairs(mutationsOf(&b)))
}

func TestBatchResetLeavesWhatWasAppliedAlone(t *testing.T) {
	s := newState()
	var b Batch
	b.Put([]byte("k"), []byte("first"))
	s.apply(1, mutationsOf(&b))
	b.Reset()
	require.Zero(t, b.Len())
	b.Put([]byte("x"), []byte("other"))
	require.Equal(t, []string{"k=first"}, lines(s.scan(Range{}, 0)))
}

func TestBatchKeepsItsFirstError(t *testing.T) {
	large := make([]byte, MaxValueSize+1)
	cases := []struct {
		sentence string
		add      func(b *Batch)
		want     error
	}{
		{"a put without a key", func(b *Batch) { b.Put(nil, nil) }, ErrEmptyKey},
		{"a delete without a key", func(b *Batch) { b.Delete([]byte{}) }, ErrEmptyKey},
		{"a key over the limit", func(b *Batch) { b.Put(large[:MaxKeySize+1], nil) }, ErrKeyTooLarge},
		{"a delete of a key over the limit", func(b *Batch) { b.Delete(large[:MaxKeySize+1]) }, ErrKeyTooLarge},
		{"a value over the limit", func(b *Batch) { b.Put([]byte("k"), large) }, ErrValueTooLarge},
		{"a start over the limit", func(b *Batch) { b.DeleteRange(large[:MaxKeySize+1], nil) }, ErrKeyTooLarge},
		{"an end over the limit", func(b *Batch) { b.DeleteRange(nil, large[:MaxKeySize+1]) }, ErrKeyTooLarge},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			var b Batch
			b.Put([]byte("good"), nil)
			c.add(&b)
			require.ErrorIs(t, b.err, c.want)
			require.ErrorContains(t, b.err, "mutation 1")
			first := b.err
			b.Delete(nil)
			require.Equal(t, first, b.err)
			require.Equal(t, 1, b.Len(), "what is over a limit is left out")
			b.Reset()
			require.NoError(t, b.err)
		})
	}
}

func TestBatchTakesWhatIsAtTheLimit(t *testing.T) {
	large := make([]byte, MaxValueSize)
	var b Batch
	b.Put(large[:MaxKeySize], large)
	b.DeleteRange(large[:MaxKeySize], large[:MaxKeySize])
	require.NoError(t, b.err)
	require.Equal(t, 2, b.Len())
}

func TestDeadlineSurvivesAsNanoseconds(t *testing.T) {
	cases := []struct {
		sentence string
		deadline time.Time
		want     int64
	}{
		{"the zero time is none", time.Time{}, 0},
		{"an instant", time.Unix(1700000000, 5), 1700000000000000005},
		{"an instant in another place", time.Unix(1, 0).In(time.FixedZone("east", 3600)), 1000000000},
		{"the instant whose number means none", time.Unix(0, 0), -1},
		{"too early to say", time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), math.MinInt64},
		{"too late to say", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), math.MaxInt64},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			require.Equal(t, c.want, unixNano(c.deadline))
			require.Equal(t, c.want, unixNano(deadlineTime(c.want)))
		})
	}
}

func TestMutationKindsHaveNames(t *testing.T) {
	require.Equal(t, "put", MutationPut.String())
	require.Equal(t, "delete", MutationDelete.String())
	require.Equal(t, "delete_range", MutationDeleteRange.String())
	require.Equal(t, "MutationKind(9)", MutationKind(9).String())
}
