package kv

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGetFromTheTreeAllocatesNothing(t *testing.T) {
	tree := newTree()
	for i := range 10_000 {
		tree.put(newPair(fmt.Appendf(nil, "user%06d", i), []byte("value"), 0))
	}
	key := []byte("user001234")
	var value []byte
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		it, _ := tree.get(key)
		value = it.value()
	}))
	require.Equal(t, "value", string(value))
}

func TestPutIntoTheTreeTakesThePairAsItIs(t *testing.T) {
	tree := newTree()
	p := newPair([]byte("key"), []byte("value"), 0)
	tree.put(p)
	require.Zero(t, testing.AllocsPerRun(1000, func() { tree.put(p) }))
	it, found := tree.get([]byte("key"))
	require.True(t, found)
	require.Same(t, p.first, it.first)
}

func TestValuesStayValidAfterTheirPairIsGone(t *testing.T) {
	s := newState()
	var b Batch
	b.Put([]byte("key"), []byte("first"))
	s.apply(1, mutationsOf(&b))
	value, err := s.get([]byte("key"), func() int64 { return 0 })
	require.NoError(t, err)
	b.Reset()
	b.Put([]byte("key"), []byte("other"))
	b.DeleteRange(nil, nil)
	s.apply(2, mutationsOf(&b))
	require.Equal(t, "first", string(value))
}

func TestMutationMadeByHandIsApplied(t *testing.T) {
	s := newState()
	s.apply(1, []Mutation{{Kind: MutationPut, Key: []byte("key"), Value: []byte("value"), Deadline: deadlineTime(10)}})
	require.Equal(t, []string{"key=value"}, lines(s.scan(Range{}, 9)))
	require.Empty(t, lines(s.scan(Range{}, 10)))
}

func TestLoadIsAsGoodAsPuts(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, loadChunk - 1, loadChunk, loadChunk + 1, 3*loadChunk + 7} {
		loaded, put := newTree(), newTree()
		var pairs []pair
		for i := range size {
			pairs = append(pairs, newPair(fmt.Appendf(nil, "user%06d", i), fmt.Appendf(nil, "value %d", i), 0))
			put.put(pairs[i])
		}
		loaded.load(slices.Values(pairs), nil)
		require.Equal(t, size, loaded.len())
		require.Equal(t, treeLines(put), treeLines(loaded), "%d pairs", size)
	}
}

func TestLoadAddsToWhatIsThere(t *testing.T) {
	tree := newTree()
	tree.put(newPair([]byte("a"), []byte("old"), 0))
	tree.put(newPair([]byte("b"), []byte("stays"), 0))
	tree.load(slices.Values([]pair{newPair([]byte("a"), []byte("new"), 0), newPair([]byte("c"), []byte("added"), 0)}), nil)
	require.Equal(t, []string{"a=new", "b=stays", "c=added"}, treeLines(tree))
}

// treeLines returns what a tree holds, a line a pair.
func treeLines(tree tree) []string {
	lines := []string{}
	tree.ascend(nil, nil, func(it item) bool {
		lines = append(lines, fmt.Sprintf("%s=%s", it.key(), it.value()))
		return true
	})
	return lines
}

// keyOfTable returns a key as stores have them: a counter or a random id after a name, or something short.
func keyOfTable(random *rand.Rand) []byte {
	switch random.IntN(5) {
	case 0:
		return fmt.Appendf(nil, "user%09d", random.IntN(5000))
	case 1:
		return fmt.Appendf(nil, "user%09d", 999_000_000+random.IntN(5000))
	case 2:
		return fmt.Appendf(nil, "session:%x", random.Uint32())
	case 3:
		return randomBytes(random, 1, 3)
	}
	return fmt.Appendf(nil, "user%d", random.IntN(5000))
}

func TestTreeIsWhatAMapWouldHoldWhateverTheCommonPrefix(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 6))
		tree, want := newTree(), map[string]string{}
		put := func(key, value []byte) {
			tree.put(newPair(key, value, 0))
			want[string(key)] = string(value)
		}
		for i := range 500 + random.IntN(1500) { // With seeds where the prefix is chosen from these alone, and others.
			put(fmt.Appendf(nil, "user%09d", i), []byte("counter"))
		}
		before, held := mapLines(want), tree.clone()
		for i := range 4000 {
			if key := keyOfTable(random); random.IntN(3) > 0 {
				put(key, fmt.Appendf(nil, "%d", i))
			} else {
				tree.remove(key)
				delete(want, string(key))
			}
		}
		require.Equal(t, mapLines(want), treeLines(tree), "seed %d", seed)
		require.Equal(t, before, treeLines(held), "seed %d: a clone keeps what it had", seed)
		for range 1000 {
			key := keyOfTable(random)
			it, found := tree.get(key)
			value, wanted := want[string(key)]
			require.Equal(t, wanted, found, "seed %d, key %q", seed, key)
			require.Equal(t, value, string(it.value()), "seed %d, key %q", seed, key)
		}
	}
}

func TestCommonPrefixIsChosenAgainWhileTheTreeIsSmall(t *testing.T) {
	tree := newTree()
	for i := range commonSample {
		tree.put(newPair(fmt.Appendf(nil, "user%09d", i), nil, 0))
	}
	early := tree.clone()
	require.Nil(t, early.common)
	tree.put(newPair([]byte("user999999999"), nil, 0))
	require.Equal(t, "user0", string(tree.common))
	require.Equal(t, commonSample+1, tree.len())
	require.Equal(t, commonSample, early.len())
	late := tree.clone()
	for i := range 10_000 {
		tree.put(newPair(fmt.Appendf(nil, "%09d", i), nil, 0))
	}
	require.Empty(t, tree.common)
	require.False(t, tree.loose)
	require.Equal(t, "user0", string(late.common), "a clone keeps its own")
	require.Equal(t, commonSample+1, late.len())
}

// tenantKeys returns the keys of many tenants in ascending order.
func tenantKeys(tenants, each int) (keys [][]byte) {
	for tenant := range tenants {
		for i := range each {
			keys = append(keys, fmt.Appendf(nil, "tenant%04d/%06d", tenant, i))
		}
	}
	return keys
}

// treesOf returns trees of the same keys, given in ascending order, that came about in different ways.
func treesOf(keys [][]byte) map[string]*tree {
	trees, pairs := map[string]*tree{}, []pair{}
	for _, key := range keys {
		pairs = append(pairs, newPair(key, []byte("value"), 0))
	}
	add := func(name string, fill func(t *tree)) {
		filled := newTree()
		fill(&filled)
		filled.tighten()
		trees[name] = &filled
	}
	inOrder := func(t *tree) {
		for _, p := range pairs {
			t.put(p)
		}
	}
	add("in order", inOrder)
	add("a start", func(t *tree) { t.load(slices.Values(pairs), keys[len(keys)-1]) })
	add("a stream", func(t *tree) { t.load(slices.Values(pairs), nil) })
	pairs = slices.Clone(pairs)
	rand.New(rand.NewPCG(1, 7)).Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	add("random order", inOrder)
	return trees
}

// TestCommonPrefixIsAsGoodWhateverTheOrderOfKeys: chosen from the first keys alone it was that of the first tenant, and the
// numbers of all other tenants' keys said nothing.
func TestCommonPrefixIsAsGoodWhateverTheOrderOfKeys(t *testing.T) {
	namespaces := [][]byte{}
	for _, name := range []string{"account:", "order:", "session:", "user:"} {
		for i := range 25_000 {
			namespaces = append(namespaces, fmt.Appendf(nil, "%s%012d", name, i))
		}
	}
	for want, keys := range map[string][][]byte{"tenant0": tenantKeys(110, 1000), "": namespaces} {
		for name, tree := range treesOf(keys) {
			require.Equal(t, want, string(tree.common), name)
			require.Equal(t, len(keys), tree.len(), name)
			next := 0
			tree.ascend(nil, nil, func(it item) bool {
				next++
				return string(keys[next-1]) == string(it.key())
			})
			require.Equal(t, len(keys), next, name)
		}
	}
}

// TestALargeTreeIsLooseUntilItIsTightened: no put makes more than commonInline items again.
func TestALargeTreeIsLooseUntilItIsTightened(t *testing.T) {
	tree := newTree()
	for i := range commonInline + 1 {
		tree.put(newPair(fmt.Appendf(nil, "user%09d", i), nil, 0))
	}
	held := tree.clone()
	for i := range commonInline * commonGrowth {
		tree.put(newPair(fmt.Appendf(nil, "a%09d", i), nil, 0))
	}
	require.True(t, tree.loose)
	require.Equal(t, held.common, tree.common)
	before := treeLines(tree)
	tree.tighten()
	require.False(t, tree.loose)
	require.Empty(t, tree.common)
	require.Equal(t, before, treeLines(tree))
	require.Equal(t, commonInline+1, held.len())
}

func mapLines(pairs map[string]string) []string {
	lines := []string{}
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		lines = append(lines, key+"="+pairs[key])
	}
	return lines
}
