package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// byValue has one key for each pair, which is a part of the pair.
func byValue(_, value []byte) iter.Seq[[]byte] { return slices.Values([][]byte{value}) }

// byBytes has a key for each different byte of a pair, and none for some pairs. Its keys share memory, and come twice.
func byBytes(key, value []byte) iter.Seq[[]byte] {
	if len(value)%3 == 0 {
		return nil
	}
	return func(yield func([]byte) bool) {
		var buffer []byte
		for _, b := range append(key, value...) {
			if buffer = append(buffer[:0], 'b', b); !yield(buffer) {
				return
			}
		}
	}
}

// byNothing has the empty key for every pair.
func byNothing(_, _ []byte) iter.Seq[[]byte] { return slices.Values([][]byte{nil}) }

var testIndexes = []Index{{"value", byValue}, {"bytes", byBytes}, {"nothing", byNothing}}

// sorted returns what ScanIndex has to yield of the pairs, as key=value: all of their index keys, sorted.
func sorted(pairs iter.Seq2[[]byte, []byte], x Index, r Range) (lines []string) {
	type entry struct{ indexKey, key, value string }
	all := map[entry]bool{}
	for key, value := range pairs {
		if keys := x.Keys(key, value); keys != nil {
			for indexKey := range keys {
				all[entry{string(indexKey), string(key), string(value)}] = true
			}
		}
	}
	var entries []entry
	isAfter := func(indexKey string) bool {
		order := strings.Compare(indexKey, string(r.After))
		return len(r.After) == 0 || order > 0 && !r.Reverse || order < 0 && r.Reverse
	}
	for e := range all {
		if isAfter(e.indexKey) && (len(r.End) == 0 || e.indexKey < string(r.End)) && e.indexKey >= string(r.Start) && strings.HasPrefix(e.indexKey, string(r.Prefix)) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if order := strings.Compare(a.indexKey, b.indexKey); order != 0 {
			return order
		}
		return strings.Compare(a.key, b.key)
	})
	if r.Reverse {
		slices.Reverse(entries)
	}
	for _, e := range entries {
		if r.Limit > 0 && len(lines) == r.Limit {
			break
		}
		lines = append(lines, e.key+"="+e.value)
	}
	return lines
}

// indexScanner is a DB, a Tx or a ReadView.
type indexScanner interface {
	Scan(r Range) iter.Seq2[[]byte, []byte]
	ScanIndex(name string, r Range) iter.Seq2[[]byte, []byte]
}

// requireIndexed requires that every index yields, for some ranges, what a sort of the pairs does.
func requireIndexed(t testing.TB, random *rand.Rand, s indexScanner, sentence string) {
	t.Helper()
	for _, x := range testIndexes {
		for _, r := range []Range{{Reverse: random.IntN(2) == 0}, randomIndexRange(random)} {
			want := sorted(s.Scan(Range{}), x, r)
			require.Equal(t, want, lines(s.ScanIndex(x.Name, r)), "%s, index %s, range %+v", sentence, x.Name, r)
		}
	}
}

// randomIndexRange draws a range that meets the keys of the indexes of tests.
func randomIndexRange(random *rand.Rand) Range {
	r := randomRange(random)
	for _, bound := range []*[]byte{&r.Start, &r.End, &r.Prefix, &r.After} {
		if len(*bound) > 0 {
			*bound = [][]byte{fmt.Append(nil, random.IntN(1000)), append([]byte{'b'}, *bound...), []byte("b")}[random.IntN(3)]
		}
	}
	r.Limit *= 5
	return r
}

// TestIndexesAreWhatASortWouldYield makes random commits of every kind, and compares every index with a scan and a sort: of the store, of
// views that are held, of transactions before they commit, of past states, and of the store opened again.
func TestIndexesAreWhatASortWouldYield(t *testing.T) {
	seeds := uint64(40)
	switch {
	case raceDetected(): // Which makes a seed take ten times as long.
		seeds = 2
	case testing.Short():
		seeds = 8
	}
	for seed := range seeds {
		for _, mode := range []SyncMode{SyncAlways, SyncNever} {
			t.Run(fmt.Sprintf("seed=%d/sync=%v", seed, mode), func(t *testing.T) {
				t.Logf("replay: go test ./kv -run '%s'", t.Name())
				indexRun(t, rand.New(rand.NewPCG(seed, 31)), mode)
			})
		}
	}
}

func indexRun(t *testing.T, random *rand.Rand, mode SyncMode) {
	now := atomic.Int64{}
	now.Store(1000)
	opts := memOptions(vfs.NewMem())
	opts.Indexes, opts.Sync, opts.CheckpointFactor = testIndexes, mode, -1
	opts.Clock, opts.sweepByHand = func() time.Time { return time.Unix(0, now.Load()) }, true
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	held := map[*ReadView][]string{}
	for step := range 80 {
		sentence := fmt.Sprintf("step %d", step)
		now.Add(int64(random.IntN(2)))
		switch random.IntN(12) {
		case 0:
			view, err := db.ReadView()
			require.NoError(t, err)
			held[view] = lines(view.ScanIndex("bytes", Range{}))
		case 1:
			b := randomBatch(random, now.Load())
			for large := random.IntN(4) == 0; large && !b.isLong(); {
				b.Put(randomKey(random), randomBytes(random, 0, 12))
			}
			_, err = db.Apply(b)
		case 2:
			b := &Batch{}
			b.DeleteRange(nil, nil)
			_, err = db.Apply(b)
		case 3, 4:
			err = updateIndexed(t, random, db, sentence)
		case 5:
			require.NoError(t, db.Close())
			reopened := opts
			reopened.ReadOnly = true
			db, err = Open(storeDir, reopened)
			require.NoError(t, err)
			requireIndexed(t, random, db, sentence+", read-only")
			require.NoError(t, db.Close())
			db, err = Open(storeDir, opts)
		case 6:
			if _, err = db.Checkpoint(t.Context()); err == nil && db.Offset() > 3 {
				requirePast(t, random, db, db.Offset()-2)
			}
		case 7:
			_, err = db.Put(randomKey(random), randomBytes(random, 0, 12))
		default:
			_, err = db.Apply(randomBatch(random, now.Load()))
		}
		require.NoError(t, err, sentence)
		if random.IntN(4) == 0 { // Otherwise nothing is published, and the next commits are applied in place.
			requireIndexed(t, random, db, sentence)
		}
	}
	requireIndexed(t, random, db, "at the end")
	require.NoError(t, db.Close())
	for view, want := range held {
		require.Equal(t, want, lines(view.ScanIndex("bytes", Range{})), "view of %d", view.Offset())
		requireIndexed(t, random, view, "a view that was held")
		require.NoError(t, view.Close())
	}
}

// updateIndexed makes a transaction that looks at its indexes between its writes.
func updateIndexed(t *testing.T, random *rand.Rand, db *DB, sentence string) error {
	gaveUp := errors.New("gave up")
	err := db.Update(func(tx *Tx) error {
		for range random.IntN(200) {
			switch random.IntN(50) {
			case 0:
				requireIndexed(t, random, tx, sentence+", in a transaction")
			case 1, 2:
				require.NoError(t, tx.DeleteRange(randomKey(random), randomKey(random)))
			case 3, 4, 5, 6, 7, 8:
				require.NoError(t, tx.Delete(randomKey(random)))
			default:
				require.NoError(t, tx.Put(randomKey(random), randomBytes(random, 0, 12)))
			}
		}
		if random.IntN(3) == 0 {
			return gaveUp
		}
		return nil
	})
	if errors.Is(err, gaveUp) {
		return nil
	}
	return err
}

func requirePast(t *testing.T, random *rand.Rand, db *DB, offset uint64) {
	past, err := db.At(t.Context(), offset)
	if errors.Is(err, ErrTruncated) {
		return
	}
	require.NoError(t, err)
	requireIndexed(t, random, past, "a past state")
	require.NoError(t, past.Close())
}

// TestALargeCommitKeepsTheIndexes applies a batch in steps and other commits between the steps, as a large commit is made.
func TestALargeCommitKeepsTheIndexes(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 32))
		base := newState()
		base.indexes = startIndexes(t.Context(), testIndexes)
		base.applyEncoded(1, randomBatches(random, 10).mutations())
		require.NoError(t, base.finishIndexes())
		b := randomBatches(random, 6)
		work := &apart{state: base.clone(), decided: newDecided(b)}
		for rest := b.mutations(); len(rest) > 0; {
			other := randomBatches(random, 2).mutations()
			base.applyEncoded(2, other)
			work.makeUpFor(other)
			var m Mutation
			rest = m.next(rest)
			work.state.mutate(&m)
		}
		for _, s := range []*state{base, work.state} {
			for _, x := range testIndexes {
				require.Equal(t, sorted(s.scan(Range{}, 0), x, Range{}), lines(s.scanIndex(x.Name, Range{}, 0)), "seed %d, index %s", seed, x.Name)
			}
		}
	}
}

// TestAStartIndexesWhatChangesManyTimes replays commits over more than a chunk of changes, each of which is to be undone.
func TestAStartIndexesWhatChangesManyTimes(t *testing.T) {
	mem := vfs.NewMem()
	plain := openStore(t, storeDir, Options{fs: mem, CheckpointFactor: -1})
	for round := range 4 {
		var b Batch
		if round == 2 {
			b.DeleteRange(nil, nil)
		}
		for i := range indexChunk {
			b.Put(fmt.Append(nil, i), fmt.Append(nil, (i+round)%1000))
		}
		_, err := plain.Apply(&b)
		require.NoError(t, err)
	}
	opts := Options{fs: mem, ReadOnly: true, Indexes: testIndexes}
	requireIndexed(t, rand.New(rand.NewPCG(1, 33)), openStore(t, storeDir, opts), "from the log")
	_, err := plain.Checkpoint(t.Context())
	require.NoError(t, err)
	requireIndexed(t, rand.New(rand.NewPCG(2, 33)), openStore(t, storeDir, opts), "from a snapshot")
}

func TestOptionsRefuseIndexesThatCantBe(t *testing.T) {
	for _, c := range []struct {
		sentence string
		indexes  []Index
		message  string
	}{
		{"two with one name", []Index{{"a", byValue}, {"b", byValue}, {"a", byBytes}}, `kv: option Indexes: there are two with the name "a"`},
		{"one without a name", []Index{{"", byValue}}, "kv: option Indexes: index 0 has no name"},
		{"one without a function", []Index{{"a", nil}}, `kv: option Indexes: index "a" has no function`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			_, err := Open(storeDir, Options{fs: vfs.NewMem(), Indexes: c.indexes})
			require.EqualError(t, err, c.message)
		})
	}
}

func TestScanOfAnUnknownIndexPanics(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.Indexes = testIndexes
	db := openStore(t, storeDir, opts)
	none, _ := openMem(t)
	for _, store := range []*DB{db, none} {
		scan := func() { lines(store.ScanIndex("other", Range{})) }
		require.PanicsWithValue(t, `kv: there is no index "other" in Options.Indexes`, scan)
	}
	put(t, db, "k", "v")
	require.Equal(t, []string{"k=v"}, lines(db.ScanIndex("value", Range{})), "the store goes on")
}

// tooLong is an index key over the limit.
var tooLong = bytes.Repeat([]byte("x"), MaxKeySize+1)

// failing has the values as keys, except for some values.
func failing(_, value []byte) iter.Seq[[]byte] {
	switch string(value) {
	case "panic":
		panic("this value")
	case "late":
		return func(yield func([]byte) bool) {
			yield([]byte("first"))
			panic(errors.New("this value, late"))
		}
	case "long":
		return slices.Values([][]byte{[]byte("first"), tooLong})
	case "longest":
		return slices.Values([][]byte{tooLong[:MaxKeySize]})
	}
	return slices.Values([][]byte{value})
}

func TestAnIndexThatFailsFailsItsCommitAlone(t *testing.T) {
	eachWay := map[string]func(db *DB, value []byte) error{
		"Put": func(db *DB, value []byte) error {
			_, err := db.Put([]byte("k"), value)
			return err
		},
		"PutTTL": func(db *DB, value []byte) error {
			_, err := db.PutTTL([]byte("k"), value, time.Hour)
			return err
		},
		"Apply": func(db *DB, value []byte) error {
			var b Batch
			b.Put([]byte("other"), []byte("fine"))
			b.Put([]byte("k"), value)
			_, err := db.Apply(&b)
			return err
		},
		"a large Apply": func(db *DB, value []byte) error {
			var b Batch
			for i := range inPlaceMutations + 1 {
				b.Put(fmt.Append(nil, i), []byte("fine"))
			}
			b.Put([]byte("k"), value)
			_, err := db.Apply(&b)
			return err
		},
		"Update": func(db *DB, value []byte) error {
			return db.Update(func(tx *Tx) error {
				if err := tx.Put([]byte("other"), []byte("fine")); err != nil {
					return err
				}
				return tx.Put([]byte("k"), value)
			})
		},
	}
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		opts := memOptions(vfs.NewMem())
		opts.Indexes, opts.Sync = []Index{{"value", byValue}, {"failing", failing}}, mode
		db := openStore(t, storeDir, opts)
		offset := put(t, db, "k", "old")
		for way, commit := range eachWay {
			t.Run(fmt.Sprintf("%v/%s", mode, way), func(t *testing.T) {
				require.ErrorContains(t, commit(db, []byte("panic")), `kv: pair can't be indexed: index "failing", key "k": the function panicked: this value`)
				require.ErrorContains(t, commit(db, []byte("late")), "the function panicked: this value, late")
				err := commit(db, []byte("long"))
				require.ErrorContains(t, err, "index key of 65537 bytes, limit 65536")
				require.ErrorIs(t, err, ErrKeyTooLarge)
				require.ErrorIs(t, err, ErrIndex)
				require.Equal(t, offset, db.Offset(), "nothing was changed")
				requireHolds(t, db, "k=old")
				require.Equal(t, []string{"k=old"}, lines(db.ScanIndex("failing", Range{})))
			})
		}
		put(t, db, "k", "longest")
		require.Equal(t, []string{"k=longest"}, lines(db.ScanIndex("failing", Range{})), "the store goes on")
	}
}

func TestATransactionGoesOnWithoutAPutThatCantBeIndexed(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.Indexes = []Index{{"failing", failing}}
	db := openStore(t, storeDir, opts)
	require.NoError(t, db.Update(func(tx *Tx) error {
		require.NoError(t, tx.Put([]byte("a"), []byte("fine")))
		require.ErrorIs(t, tx.Put([]byte("b"), []byte("panic")), ErrIndex)
		require.Equal(t, []string{"a=fine"}, lines(tx.ScanIndex("failing", Range{})))
		return tx.Put([]byte("c"), []byte("also"))
	}))
	require.Equal(t, []string{"c=also", "a=fine"}, lines(db.ScanIndex("failing", Range{})))
}

func TestAStoreThatTakesNoCommitSaysSoFirst(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	opts.Indexes = []Index{{"failing", failing}}
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "k", "v")
	require.NoError(t, db.Close())
	_, err = db.Put([]byte("k"), []byte("panic"))
	require.ErrorIs(t, err, ErrClosed)
	opts.ReadOnly = true
	reading := openStore(t, storeDir, opts)
	_, err = reading.Put([]byte("k"), []byte("panic"))
	require.ErrorIs(t, err, ErrReadOnly)
	require.Equal(t, []string{"k=v"}, lines(reading.ScanIndex("failing", Range{})))
}

// TestOpenNamesAPairThatCantBeIndexed opens a store, written without an index, with an index that fails for one of its pairs.
func TestOpenNamesAPairThatCantBeIndexed(t *testing.T) {
	for value, message := range map[string]string{
		"panic": `kv: open /data/store: kv: pair can't be indexed: index "failing", key "m": the function panicked: this value`,
		"late":  "the function panicked: this value, late",
		"long":  "index key of 65537 bytes, limit 65536",
	} {
		for _, checkpoint := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/snapshot=%v", value, checkpoint), func(t *testing.T) {
				opts := memOptions(vfs.NewMem())
				db, err := Open(storeDir, opts)
				require.NoError(t, err)
				put(t, db, "a", "panic")
				put(t, db, "m", value)
				put(t, db, "z", "long")
				bad := put(t, db, "a", "fine")
				if checkpoint {
					_, err = db.Checkpoint(t.Context())
					require.NoError(t, err)
				}
				require.NoError(t, db.Close())
				opts.Indexes = []Index{{"value", byNothing}, {"failing", failing}}
				_, err = Open(storeDir, opts)
				require.ErrorContains(t, err, message)
				require.ErrorIs(t, err, ErrIndex)

				opts.Indexes = nil
				db, err = Open(storeDir, opts)
				require.NoError(t, err, "the store is as it was")
				put(t, db, "m", "fine")
				_, err = db.Delete([]byte("z"))
				require.NoError(t, err)
				require.NoError(t, db.Close())
				opts.Indexes = []Index{{"failing", failing}}
				db = openStore(t, storeDir, opts)
				require.Equal(t, []string{"a=fine", "m=fine"}, lines(db.ScanIndex("failing", Range{})), "what was overwritten doesn't count")
				if _, err = db.At(t.Context(), bad); !errors.Is(err, ErrTruncated) {
					require.ErrorIs(t, err, ErrIndex, "the past state can't be indexed")
				}
			})
		}
	}
}

// TestAFunctionThatIsNotPureLosesItsIndexAlone has a function that begins to fail for a pair that it was committed with.
func TestAFunctionThatIsNotPureLosesItsIndexAlone(t *testing.T) {
	var calls, from atomic.Int64
	from.Store(1 << 40)
	for _, c := range []struct {
		sentence string
		impure   func(value []byte) iter.Seq[[]byte]
	}{
		{"a panic", func([]byte) iter.Seq[[]byte] { panic("moody") }},
		{"another key", func([]byte) iter.Seq[[]byte] { return slices.Values([][]byte{[]byte("moody")}) }},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			from.Store(1 << 40)
			opts := memOptions(vfs.NewMem())
			opts.Indexes = []Index{{"value", byValue}, {"moody", func(_, value []byte) iter.Seq[[]byte] {
				if calls.Add(1) > from.Load() {
					return c.impure(value)
				}
				return slices.Values([][]byte{value})
			}}}
			db := openStore(t, storeDir, opts)
			put(t, db, "k", "old")
			view, err := db.ReadView()
			require.NoError(t, err)
			defer view.Close()
			from.Store(calls.Load() + 1) // Put tries the function once more before the commit.
			put(t, db, "k", "new")
			requireHolds(t, db, "k=new")
			require.Equal(t, []string{"k=new"}, lines(db.ScanIndex("value", Range{})))
			require.PanicsWithValue(t, `kv: index "moody" can't be scanned: its function isn't pure`, func() {
				lines(db.ScanIndex("moody", Range{}))
			})
			require.Equal(t, []string{"k=old"}, lines(view.ScanIndex("moody", Range{})), "a view from before has it")
			from.Store(1 << 40)
			put(t, db, "k", "newer")
			requireHolds(t, db, "k=newer")
		})
	}
}

// TestAFunctionThatEndsItsGoroutineEndsNoStart has one that calls runtime.Goexit, as a test's FailNow does: once, or every time. The
// start returns, and gives the lock back.
func TestAFunctionThatEndsItsGoroutineEndsNoStart(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "k", "v")
	require.NoError(t, db.Close())
	for _, times := range []int64{1, math.MaxInt64} {
		var calls atomic.Int64
		opts.Indexes = []Index{{"goes", func(_, value []byte) iter.Seq[[]byte] {
			if calls.Add(1) <= times {
				runtime.Goexit()
			}
			return slices.Values([][]byte{value})
		}}}
		opened := make(chan error, 1)
		go func() {
			defer close(opened)
			_, err := Open(storeDir, opts)
			opened <- err
		}()
		require.ErrorContains(t, <-opened, `index "goes": its function isn't pure`)
	}
	opts.Indexes = nil
	requireHolds(t, openStore(t, storeDir, opts), "k=v")
}

func TestWhatAFunctionAppendsReachesNoBatch(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.Indexes = []Index{{"joined", func(key, value []byte) iter.Seq[[]byte] {
		return slices.Values([][]byte{append(value, "/!/!/!/!/!/!"...), append(key, "/!/!/!/!/!/!"...)})
	}}}
	db := openStore(t, storeDir, opts)
	var b Batch
	b.Put([]byte("a"), []byte("1"))
	b.Put([]byte("b"), []byte("2"))
	b.Put([]byte("c"), nil)
	_, err := db.Apply(&b)
	require.NoError(t, err)
	requireHolds(t, db, "a=1", "b=2", "c=")
	require.Equal(t, []string{"c=", "a=1", "b=2", "a=1", "b=2", "c="}, lines(db.ScanIndex("joined", Range{})))
}

// TestFullDiskLeavesTheIndexesAlone refuses commits at the log, after their index keys were made.
func TestFullDiskLeavesTheIndexesAlone(t *testing.T) {
	mem := vfs.NewMem()
	opts := Options{fs: mem, SegmentSize: 4 << 10, Indexes: testIndexes, LowSpace: -1}
	db := openStore(t, storeDir, opts)
	put(t, db, "k", "old")
	var refusal error
	mem.SetCapacity(1)
	for i := 0; refusal == nil && i < 100; i++ {
		_, refusal = db.Put([]byte("k"), bytes.Repeat([]byte{byte('a' + i%10)}, 200))
	}
	require.ErrorIs(t, refusal, ErrNoSpace)
	requireIndexed(t, rand.New(rand.NewPCG(1, 34)), db, "on a full disk")
	err := db.Update(func(tx *Tx) error {
		require.NoError(t, tx.Put([]byte("n"), make([]byte, 3<<10)))
		requireIndexed(t, rand.New(rand.NewPCG(2, 34)), tx, "in a transaction that is refused")
		return nil
	})
	require.ErrorIs(t, err, ErrNoSpace)
	requireIndexed(t, rand.New(rand.NewPCG(3, 34)), db, "after it")
	mem.SetCapacity(0)
	put(t, db, "k", "new")
	require.Equal(t, []string{"k=new"}, lines(db.ScanIndex("value", Range{})))
}

// TestIndexesBesideWritersShowOneInstant has writers that move pairs between index keys while readers check that none is missing.
func TestIndexesBesideWritersShowOneInstant(t *testing.T) {
	const pairs = 50
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		opts := memOptions(vfs.NewMem())
		opts.Indexes, opts.Sync = testIndexes, mode
		db := openStore(t, storeDir, opts)
		var first Batch
		for i := range pairs {
			first.Put(fmt.Append(nil, i), []byte("1"))
		}
		_, err := db.Apply(&first)
		require.NoError(t, err)
		var work sync.WaitGroup
		for g := range uint64(4) {
			work.Go(func() {
				random := rand.New(rand.NewPCG(g, 35))
				for range 300 {
					key, value := fmt.Append(nil, random.IntN(pairs)), fmt.Append(nil, random.IntN(5))
					if g == 0 {
						_ = db.Update(func(tx *Tx) error { return tx.Put(key, value) })
					} else if _, err := db.Put(key, value); err != nil {
						t.Error(err)
					}
				}
			})
			work.Go(func() {
				random := rand.New(rand.NewPCG(g, 36))
				for range 15 {
					_ = db.View(func(tx *Tx) error {
						requireIndexed(t, random, tx, "beside writers")
						require.Len(t, lines(tx.ScanIndex("value", Range{})), pairs)
						return nil
					})
				}
			})
		}
		work.Wait()
	}
}

func TestAnIndexScanOfWhatIsClosedPanics(t *testing.T) {
	opts := manual(vfs.NewMem())
	opts.Indexes = []Index{{Name: "value", Keys: func(_, value []byte) iter.Seq[[]byte] { return slices.Values([][]byte{value}) }}}
	db := openStore(t, storeDir, opts)
	put(t, db, "k", "v")
	view, err := db.ReadView()
	require.NoError(t, err)
	require.NoError(t, view.Close())
	var over *Tx
	require.NoError(t, db.View(func(tx *Tx) error { over = tx; return nil }))
	require.NoError(t, db.Close())
	for _, test := range []struct {
		scan func(string, Range) iter.Seq2[[]byte, []byte]
		want error
	}{{db.ScanIndex, ErrClosed}, {view.ScanIndex, ErrTxDone}, {over.ScanIndex, ErrTxDone}} {
		require.PanicsWithValue(t, test.want, func() { lines(test.scan("value", Range{})) })
	}
}

// TestAStartSortsWhatItGathers starts from pairs in the order of their keys, from a snapshot, and in no order, from the log, whose index
// keys are equal, have equal first bytes, or end in zero bytes.
func TestAStartSortsWhatItGathers(t *testing.T) {
	for _, checkpoint := range []bool{false, true} {
		t.Run(fmt.Sprintf("snapshot=%v", checkpoint), func(t *testing.T) {
			opts, random := memOptions(vfs.NewMem()), rand.New(rand.NewPCG(3, 33))
			plain := openStore(t, storeDir, opts)
			var b Batch
			for _, i := range random.Perm(3 * loadChunk) {
				values := []string{"same", "same\x00", "same\x00\x00\x00\x00", "same\x00\x00\x00\x00\x00", "longer than eight", "longer than nine"}
				b.Put(fmt.Append(nil, i), []byte(values[i%len(values)]))
			}
			_, err := plain.Apply(&b)
			require.NoError(t, err)
			if checkpoint {
				_, err := plain.Checkpoint(t.Context())
				require.NoError(t, err)
			}
			opts.Indexes, opts.ReadOnly = testIndexes, true
			requireIndexed(t, random, openStore(t, storeDir, opts), "at once")
		})
	}
}

// TestStepsThatWaitEndAsTheyCame moves pairs to and fro between index keys, with nothing that reads the indexes meanwhile, across more
// steps than wait; and then deletes some of them.
func TestStepsThatWaitEndAsTheyCame(t *testing.T) {
	for _, changes := range []int{3, waitingMax / 2, 5*waitingMax + 1} {
		opts, random := memOptions(vfs.NewMem()), rand.New(rand.NewPCG(uint64(changes), 37))
		opts.Indexes, opts.Sync = testIndexes, SyncNever
		db := openStore(t, storeDir, opts)
		for i := range changes {
			put(t, db, fmt.Sprint(i%7), []string{"same", "same\x00", "other", "much longer than a number", "much longer than another"}[random.IntN(5)])
			if random.IntN(5) == 0 {
				_, err := db.Delete(fmt.Append(nil, random.IntN(7)))
				require.NoError(t, err)
			}
		}
		requireIndexed(t, random, db, fmt.Sprintf("%d changes", changes))
	}
}

// TestReadersOfOneStateApplyWhatWaitsOnce has many readers begin at a time with a state in whose indexes steps wait.
func TestReadersOfOneStateApplyWhatWaitsOnce(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.Indexes, opts.Sync = testIndexes, SyncNever
	db := openStore(t, storeDir, opts)
	for round := range 20 {
		for i := range 50 {
			put(t, db, fmt.Sprint(i), fmt.Sprint(i+round))
		}
		var reading sync.WaitGroup
		for range 4 {
			reading.Go(func() {
				if got := len(lines(db.ScanIndex("value", Range{}))); got != 50 {
					t.Errorf("round %d: %d pairs in the index, want 50", round, got)
				}
			})
		}
		reading.Wait()
	}
}

// TestRankedEntriesKeepTheirOrderAmongOthers changes a store after a start that ranked its entries, many of which have one index key.
func TestRankedEntriesKeepTheirOrderAmongOthers(t *testing.T) {
	opts, random := memOptions(vfs.NewMem()), rand.New(rand.NewPCG(1, 38))
	plain, err := Open(storeDir, opts)
	require.NoError(t, err)
	value := func(i int) string {
		return []string{"same", "much longer than a number", "much longer than another"}[i%3]
	}
	for i := range 300 {
		put(t, plain, fmt.Sprint(2*i), value(i))
	}
	require.NoError(t, plain.Close())
	opts.Indexes = testIndexes
	db := openStore(t, storeDir, opts)
	for range 600 {
		put(t, db, fmt.Sprint(random.IntN(600)), value(random.IntN(3)))
		_, err := db.Delete(fmt.Append(nil, random.IntN(600)))
		require.NoError(t, err)
	}
	requireIndexed(t, random, db, "after a start")
}

// TestAStartGoesOnAfterPairsThatFail replays puts that an index fails for, in each way and in between others, until they are overwritten.
func TestAStartGoesOnAfterPairsThatFail(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	plain, err := Open(storeDir, opts)
	require.NoError(t, err)
	for round := range 2 {
		for i := range 40 {
			value := []string{"panic", "fine", "late", "long"}[i%4]
			if round == 1 {
				value = "fine"
			}
			put(t, plain, fmt.Sprint(i), value)
		}
	}
	require.NoError(t, plain.Close())
	opts.Indexes = []Index{{"failing", failing}}
	require.Len(t, lines(openStore(t, storeDir, opts).ScanIndex("failing", Range{})), 40)
}

// TestAnIndexThatIsLoadingChangesLikeOneThatIsLoaded makes commits, clones and drops of clones after a start whose entries aren't loaded
// yet, up to more steps than wait for that, and then looks at every state.
func TestAnIndexThatIsLoadingChangesLikeOneThatIsLoaded(t *testing.T) {
	for seed := range viewSeeds(100) {
		random := rand.New(rand.NewPCG(seed, 39))
		s := newState()
		s.indexes = startIndexes(t.Context(), testIndexes)
		for _, i := range random.Perm(30) { // Pairs are only added, so the entries wait until the end.
			s.put(newPair(fmt.Append(nil, i), fmt.Append(nil, random.IntN(10)), 0), nil)
		}
		require.NoError(t, s.finishIndexes())
		states, loading := []*state{s}, []*indexLoad{}
		for i := range s.indexes.trees {
			l := s.indexes.trees[i].loading
			<-l.done
			l.done = make(chan struct{})
			loading = append(loading, l)
		}
		for i := range 20 {
			from := states[random.IntN(len(states))].clone() // Of one that has been cloned before, perhaps.
			from.applyEncoded(uint64(i+2), randomBatches(random, random.IntN(6)).mutations())
			states = append(states, from)
		}
		for _, l := range loading {
			close(l.done)
		}
		for range 5 {
			last := states[random.IntN(len(states))].clone()
			last.applyEncoded(100, randomBatches(random, 6).mutations())
			states = append(states, last)
		}
		for i := range states {
			s := states[(i+int(seed))%len(states)]
			for _, x := range testIndexes {
				require.Equal(t, sorted(s.scan(Range{}, 0), x, Range{}), lines(s.scanIndex(x.Name, Range{}, 0)), "seed %d, state %d, index %s", seed, i, x.Name)
			}
		}
	}
}

// TestCommitsWaitForAnIndexOnceManyStepsDo commits, while an index is loading, as many steps as may wait.
func TestCommitsWaitForAnIndexOnceManyStepsDo(t *testing.T) {
	s := newState()
	s.indexes = startIndexes(t.Context(), testIndexes[:1])
	require.NoError(t, s.finishIndexes())
	tree := &s.indexes.trees[0]
	<-tree.loading.done
	tree.loading.done = make(chan struct{})
	for i := range waitingAtMost - 1 {
		s.put(newPair(fmt.Append(nil, i), []byte("value"), 0), nil)
	}
	require.Len(t, tree.waiting, waitingAtMost-1)
	close(tree.loading.done)
	s.put(newPair([]byte("last"), []byte("value"), 0), nil)
	require.Nil(t, tree.loading)
	require.Empty(t, tree.waiting)
	require.Equal(t, waitingAtMost, tree.entries.Len())
}

// TestACommitDoesNotWaitForAScanOfALoadingIndex clones a state while a scan of an index that is loading holds it, as the next commit does.
func TestACommitDoesNotWaitForAScanOfALoadingIndex(t *testing.T) {
	s := newState()
	s.indexes = startIndexes(t.Context(), testIndexes)
	s.put(newPair([]byte("k"), []byte("v"), 0), nil)
	require.NoError(t, s.finishIndexes())
	load := s.indexes.trees[0].loading
	<-load.done
	load.done = make(chan struct{})
	scanned := make(chan []string)
	go func() { scanned <- lines(s.scanIndex("value", Range{}, 0)) }()
	time.Sleep(20 * time.Millisecond) // The scan has begun to wait, most likely.
	next := make(chan *state)
	go func() {
		second := s.clone()
		second.put(newPair([]byte("l"), []byte("w"), 0), nil)
		next <- second
	}()
	select {
	case second := <-next:
		require.Equal(t, []string{"k=v", "l=w"}, lines(second.scanIndex("nothing", Range{}, 0)), "nor does a scan of another index")
		close(load.done)
		require.Equal(t, []string{"k=v", "l=w"}, lines(second.scanIndex("value", Range{}, 0)))
	case <-time.After(5 * time.Second):
		close(load.done)
		<-next
		t.Error("the commit waits until the index is loaded")
	}
	require.Equal(t, []string{"k=v"}, <-scanned)
}

// holdLoading opens a store of one pair whose first index, of values, is loading until finish is called.
func holdLoading(t *testing.T, opts Options) (db *DB, finish func()) {
	t.Helper()
	plain, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, plain, "k", "v")
	require.NoError(t, plain.Close())
	opts.Indexes = testIndexes[:1]
	db = openStore(t, storeDir, opts)
	load := db.visible.current.indexes.trees[0].loading
	<-load.done
	load.done = make(chan struct{})
	finish = sync.OnceFunc(func() { close(load.done) })
	t.Cleanup(finish)
	return db, finish
}

// TestReadersDoNotWaitWhereCommitsWaitForAnIndex commits, in batches and one by one, until commits wait for an index that is loading.
func TestReadersDoNotWaitWhereCommitsWaitForAnIndex(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			opts := Options{fs: vfs.NewMem(), Sync: mode, CheckpointFactor: -1}
			db, finish := holdLoading(t, opts)
			commits, committed := atomic.Int64{}, make(chan error, 1)
			go func() {
				for i := range waitingToLoad / 100 {
					var b Batch
					for j := range 200 {
						b.Put(fmt.Append(nil, i, " ", j), []byte("value"))
					}
					if _, err := db.Apply(&b); err != nil {
						committed <- err
						return
					}
					commits.Add(1)
				}
				committed <- db.Update(func(tx *Tx) error { return tx.Put([]byte("last"), nil) })
			}()
			for before := int64(-1); before != commits.Load(); time.Sleep(100 * time.Millisecond) {
				before = commits.Load()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			read := make(chan error, 1)
			go func() {
				_, err := db.Get([]byte("k"))
				err = errors.Join(err, db.View(func(tx *Tx) error { return nil }))
				_, gaveUp := db.ApplyContext(ctx, &Batch{})
				if !errors.Is(gaveUp, context.DeadlineExceeded) {
					err = errors.Join(err, fmt.Errorf("a commit whose time is over: %w", gaveUp))
				}
				read <- err
			}()
			select {
			case err := <-read:
				require.NoError(t, err)
			case <-time.After(5 * time.Second):
				t.Error("readers wait until the index is loaded")
			}
			require.Less(t, commits.Load(), int64(waitingToLoad/100), "commits wait")
			finish()
			require.NoError(t, <-committed)
			require.Equal(t, waitingToLoad/100*200+2, counted(t, db, Range{}))
		})
	}
}

// TestReadersDoNotWaitWhereASweepWaitsForAnIndex sweeps more pairs than changes may wait for an index that is loading. The sweep goes on
// once the index is loaded, and ends with the store.
func TestReadersDoNotWaitWhereASweepWaitsForAnIndex(t *testing.T) {
	const expiring = waitingAtMost + 10_000
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for _, closes := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, " closes ", closes), func(t *testing.T) {
				opts := Options{fs: vfs.NewMem(), Sync: mode, CheckpointFactor: -1}
				plain, now := openByHand(t, opts)
				for i := range expiring / 1000 {
					var b Batch
					for j := range 1000 {
						b.PutDeadline(fmt.Append(nil, i, " ", j), []byte("value"), time.Unix(0, int64(2*time.Hour)))
					}
					_, err := plain.Apply(&b)
					require.NoError(t, err)
				}
				opts = plain.opts
				require.NoError(t, plain.Close())
				db, finish := holdLoading(t, opts)
				now.Store(int64(3 * time.Hour))
				swept := make(chan error, 1)
				go func() { swept <- db.sweepAll() }()
				for before := uint64(0); before == 0 || before != db.sweeper.swept.Load(); time.Sleep(200 * time.Millisecond) {
					before = db.sweeper.swept.Load()
				}
				read := make(chan error, 1)
				go func() { _, err := db.Get([]byte("k")); read <- err }()
				select {
				case err := <-read:
					require.NoError(t, err)
				case <-time.After(5 * time.Second):
					t.Error("readers wait until the index is loaded")
				}
				require.Less(t, db.sweeper.swept.Load(), uint64(expiring), "the sweep waits")
				if closes && !t.Failed() {
					require.NoError(t, db.Close())
					require.ErrorIs(t, <-swept, ErrClosed)
					return
				}
				finish()
				require.NoError(t, <-swept)
				require.Equal(t, 1, pairsHeld(db))
			})
		}
	}
}

// TestAClonePaysForItsChangesAlone makes a clone for each commit, as beside readers, while an index has many steps that wait.
func TestAClonePaysForItsChangesAlone(t *testing.T) {
	const clones = 1000
	s := newState()
	s.indexes = startIndexes(t.Context(), testIndexes[:1])
	require.NoError(t, s.finishIndexes())
	load := s.indexes.trees[0].loading
	<-load.done
	load.done = make(chan struct{})
	for i := range waitingToLoad {
		s.put(newPair(fmt.Append(nil, i), []byte("value"), 0), nil)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range clones {
		s = s.clone()
		s.put(newPair(fmt.Append(nil, "later", i), []byte("value"), 0), nil)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, (after.TotalAlloc-before.TotalAlloc)/clones, uint64(100<<10), "bytes a commit")
	close(load.done)
	require.Len(t, lines(s.scanIndex("value", Range{}, 0)), waitingToLoad+clones)
}

// TestAStartThatIsCancelledDoesNotWaitForItsIndexes cancels Open, and At, while the function of an index takes very long.
func TestAStartThatIsCancelledDoesNotWaitForItsIndexes(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	plain, err := Open(storeDir, opts)
	require.NoError(t, err)
	var b Batch
	for i := range (indexChunks + 2) * indexChunk {
		b.Put(fmt.Append(nil, i), []byte("v"))
	}
	_, err = plain.Apply(&b)
	require.NoError(t, err)
	require.NoError(t, plain.Close())
	var blocked atomic.Pointer[chan struct{}]
	opts.Indexes = []Index{{"slow", func(_, value []byte) iter.Seq[[]byte] {
		if until := blocked.Load(); until != nil {
			<-*until
		}
		return slices.Values([][]byte{value})
	}}}
	requireCancelled := func(start func(ctx context.Context) error) {
		t.Helper()
		until := make(chan struct{})
		blocked.Store(&until)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- start(ctx) }()
		select {
		case err := <-ended:
			require.ErrorIs(t, err, context.DeadlineExceeded)
		case <-time.After(5 * time.Second):
			t.Error("the start goes on")
		}
		blocked.Store(nil)
		close(until)
	}
	requireCancelled(func(ctx context.Context) error {
		_, err := OpenContext(ctx, storeDir, opts)
		return err
	})
	db := openStore(t, storeDir, opts)
	requireCancelled(func(ctx context.Context) error {
		_, err := db.At(ctx, 1)
		return err
	})
	require.Len(t, lines(db.ScanIndex("slow", Range{})), b.Len())
}
