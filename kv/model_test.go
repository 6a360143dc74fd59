package kv

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// modelPair is a value with its deadline in nanoseconds, 0 for none.
type modelPair struct {
	value    string
	deadline int64
}

// model is a store as a plain map: slow, and too simple to be wrong.
type model map[string]modelPair

func (m model) apply(mutations []Mutation) {
	for _, mutation := range mutations {
		key, end := string(mutation.Key), string(mutation.End)
		switch mutation.Kind {
		case MutationPut:
			m[key] = modelPair{value: string(mutation.Value), deadline: unixNano(mutation.Deadline)}
		case MutationDelete:
			delete(m, key)
		case MutationDeleteRange:
			maps.DeleteFunc(m, func(k string, _ modelPair) bool { return k >= key && (end == "" || k < end) })
		}
	}
}

// lines returns the pairs of a range that are visible at an instant, as key=value.
func (m model) lines(r Range, now int64) []string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		pair := m[key]
		inRange := key >= string(r.Start) && (len(r.End) == 0 || key < string(r.End)) && strings.HasPrefix(key, string(r.Prefix))
		if len(r.After) > 0 {
			inRange = inRange && (key > string(r.After) && !r.Reverse || key < string(r.After) && r.Reverse)
		}
		if inRange && (pair.deadline == 0 || pair.deadline > now) {
			lines = append(lines, key+"="+pair.value)
		}
	}
	if r.Reverse {
		slices.Reverse(lines)
	}
	if r.Limit > 0 && len(lines) > r.Limit {
		lines = lines[:r.Limit]
	}
	return lines
}

// dataBytes returns what state.dataBytes has to be.
func (m model) dataBytes() (sum int64) {
	for key, pair := range m {
		sum += int64(len(key) + len(pair.value))
	}
	return sum
}

// lines returns what a scan yields, as key=value.
func lines(scan func(func(key, value []byte) bool)) []string {
	var lines []string
	for key, value := range scan {
		lines = append(lines, string(key)+"="+string(value))
	}
	return lines
}

// randomKey draws from few keys, so that overwrites, prefixes and ranges meet.
func randomKey(random *rand.Rand) []byte {
	key := []byte{byte('a' + random.IntN(4))}
	for random.IntN(2) == 0 && len(key) < 4 {
		key = append(key, []byte{0, 'x', 0xff}[random.IntN(3)])
	}
	return key
}

// randomBatch draws a batch over those keys. Deadlines lie around an instant.
func randomBatch(random *rand.Rand, now int64) *Batch {
	var b Batch
	for range 1 + random.IntN(4) {
		switch random.IntN(10) {
		case 0, 1:
			b.Delete(randomKey(random))
		case 2:
			b.DeleteRange(randomKey(random), randomKey(random))
		case 3:
			b.PutDeadline(randomKey(random), fmt.Append(nil, random.IntN(1000)), time.Unix(0, now+int64(random.IntN(7))-3))
		default:
			b.Put(randomKey(random), fmt.Append(nil, random.IntN(1000)))
		}
	}
	return &b
}

// randomRange draws a range with any of its fields.
func randomRange(random *rand.Rand) (r Range) {
	if random.IntN(2) == 0 {
		r.Start = randomKey(random)
	}
	if random.IntN(2) == 0 {
		r.End = randomKey(random)
	}
	if random.IntN(2) == 0 {
		r.Prefix = randomKey(random)
	}
	if random.IntN(3) == 0 {
		r.After = randomKey(random)
	}
	r.Reverse = random.IntN(2) == 0
	r.Limit = random.IntN(4)
	return r
}

func TestStateIsWhatAMapWouldHold(t *testing.T) {
	const now = 1000
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 2))
		s, m := newState(), model{}
		for offset := uint64(1); offset <= 60; offset++ {
			b := randomBatch(random, now)
			s.apply(offset, mutationsOf(b))
			m.apply(mutationsOf(b))
			r := randomRange(random)
			replay := fmt.Sprintf("seed %d, offset %d, range %+v", seed, offset, r)
			require.Equal(t, m.lines(r, now), lines(s.scan(r, now)), replay)
			require.Equal(t, m.dataBytes(), s.dataBytes, replay)
			require.Equal(t, len(m), s.tree.len(), replay)
			requireGet(t, m, s, randomKey(random), now)
		}
	}
}

func requireGet(t *testing.T, m model, s *state, key []byte, now int64) {
	t.Helper()
	value, err := s.get(key, func() int64 { return now })
	pair, found := m[string(key)]
	if !found || (pair.deadline != 0 && pair.deadline <= now) {
		require.ErrorIs(t, err, ErrNotFound)
		return
	}
	require.NoError(t, err)
	require.Equal(t, pair.value, string(value))
}

func TestCloneKeepsItsStateWhateverHappensToTheOther(t *testing.T) {
	type moment struct {
		clone *state
		want  []string
	}
	for seed := range uint64(15) {
		random := rand.New(rand.NewPCG(seed, 3))
		s, m := newState(), model{}
		var moments []moment
		for offset := uint64(1); offset <= 300; offset++ {
			b := randomBatch(random, 0)
			for range 5 { // Enough keys for a tree of several levels.
				b.Put(randomBytes(random, 1, 6), []byte("deep"))
			}
			s.apply(offset, mutationsOf(b))
			m.apply(mutationsOf(b))
			if random.IntN(10) == 0 {
				moments = append(moments, moment{s.clone(), m.lines(Range{}, 0)})
			}
		}
		for i, moment := range moments {
			require.Equal(t, moment.want, lines(moment.clone.scan(Range{}, 0)), "seed %d, clone %d", seed, i)
		}
	}
}

func TestRangeDeleteTakesMoreThanAChunk(t *testing.T) {
	for _, keys := range []int{1023, 1024, 1025, 5000} {
		s, m := newState(), model{}
		var b Batch
		for i := range keys {
			b.Put(fmt.Appendf(nil, "k%05d", i), []byte("v"))
		}
		b.Put([]byte("z"), []byte("stays"))
		b.DeleteRange([]byte("k"), []byte("l"))
		s.apply(1, mutationsOf(&b))
		m.apply(mutationsOf(&b))
		require.Equal(t, []string{"z=stays"}, lines(s.scan(Range{}, 0)))
		require.Equal(t, m.dataBytes(), s.dataBytes)
	}
}

func TestScanStopsWhenAsked(t *testing.T) {
	s := newState()
	var b Batch
	b.Put([]byte("a"), nil)
	b.Put([]byte("b"), nil)
	s.apply(1, mutationsOf(&b))
	for _, reverse := range []bool{false, true} {
		seen := 0
		for range s.scan(Range{Reverse: reverse}, 0) {
			seen++
			break
		}
		require.Equal(t, 1, seen)
	}
}

func TestRangeAgainstAMap(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	var batch Batch
	for _, key := range []string{"a", "a\x00", "ab", "a\xff", "a\xff\xff", "b", "\xff", "\xff\xff"} {
		batch.Put(b(key), b("v"))
	}
	s, m := newState(), model{}
	s.apply(1, mutationsOf(&batch))
	m.apply(mutationsOf(&batch))
	cases := []struct {
		sentence string
		r        Range
		keys     int
	}{
		{"the zero range is everything", Range{}, 8},
		{"a start is inclusive", Range{Start: b("b")}, 3},
		{"an end is exclusive", Range{End: b("b")}, 5},
		{"a prefix ends where it does", Range{Prefix: b("a")}, 5},
		{"a prefix that ends in the highest byte", Range{Prefix: b("a\xff")}, 2},
		{"a prefix that nothing can come after", Range{Prefix: b("\xff")}, 2},
		{"an end before a prefix's end", Range{Prefix: b("a"), End: b("ab")}, 2},
		{"a start after a prefix's start", Range{Prefix: b("a"), Start: b("ab")}, 3},
		{"a start before the prefix", Range{Prefix: b("b"), Start: b("a")}, 1},
		{"a range that misses its prefix", Range{Prefix: b("b"), End: b("a")}, 0},
		{"an end before the start", Range{Start: b("b"), End: b("a")}, 0},
		{"an end at the start", Range{Start: b("b"), End: b("b")}, 0},
		{"a negative limit is none", Range{Limit: -1}, 8},
		{"a limit", Range{Limit: 3}, 3},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			for _, reverse := range []bool{false, true} {
				c.r.Reverse = reverse
				require.Equal(t, m.lines(c.r, 0), lines(s.scan(c.r, 0)))
				require.Len(t, lines(s.scan(c.r, 0)), c.keys)
			}
		})
	}
}
