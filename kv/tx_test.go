package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// errMind is what a function returns that has changed its mind.
var errMind = errors.New("changed its mind")

// inUpdate is Update for a test that needs it to work.
func inUpdate(t testing.TB, db *DB, fn func(tx *Tx)) {
	t.Helper()
	require.NoError(t, db.Update(func(tx *Tx) error {
		fn(tx)
		return nil
	}))
}

// number reads a pair whose value is a number; 0 is one that isn't there.
func number(t testing.TB, get func(key []byte) ([]byte, error), key string) int {
	t.Helper()
	value, err := get([]byte(key))
	if errors.Is(err, ErrNotFound) {
		return 0
	}
	require.NoError(t, err)
	n, err := strconv.Atoi(string(value))
	require.NoError(t, err)
	return n
}

func setNumber(tx *Tx, key string, n int) error {
	return tx.Put([]byte(key), strconv.AppendInt(nil, int64(n), 10))
}

// eachMode runs a test on a store in memory in each sync mode.
func eachMode(t *testing.T, test func(t *testing.T, db *DB)) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			opts := memOptions(vfs.NewMem())
			opts.Sync = mode
			test(t, openStore(t, storeDir, opts))
		})
	}
}

func TestATransactionIsOneCommit(t *testing.T) {
	db, _ := openMem(t)
	put(t, db, "b", "old")
	put(t, db, "c1", "old")
	put(t, db, "c2", "old")
	inUpdate(t, db, func(tx *Tx) {
		require.True(t, tx.Writable())
		require.EqualValues(t, 3, tx.Offset())
		require.NoError(t, tx.Put([]byte("a"), []byte("new")))
		require.NoError(t, tx.Delete([]byte("b")))
		require.NoError(t, tx.DeleteRange([]byte("c"), []byte("d")))
		require.NoError(t, tx.PutDeadline([]byte("d"), nil, time.Now().Add(time.Hour)))
	})
	require.EqualValues(t, 4, db.Offset())
	requireHolds(t, db, "a=new", "d=")
	for commit, err := range db.Commits(4) {
		require.NoError(t, err)
		require.Len(t, commit.Mutations, 4)
	}
}

// TestTransactionsAreWhatAMapWouldHold runs random transactions of all lengths, some of which change their mind, and
// compares what each sees at every step, by key and in order, with a map.
func TestTransactionsAreWhatAMapWouldHold(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 6))
		mem, committed, now := vfs.NewMem(), model{}, int64(1000)
		opts := memOptions(mem)
		opts.Sync = []SyncMode{SyncAlways, SyncNever}[seed%2]
		db, err := Open(storeDir, opts)
		require.NoError(t, err)
		setNow(db, func() int64 { return now })
		for step := range 25 {
			m := model{}
			for key, pair := range committed {
				m[key] = pair
			}
			err := db.Update(func(tx *Tx) error {
				for range random.IntN([]int{5, 40, 4 * pendingMax}[random.IntN(3)]) {
					randomStep(t, random, tx, m, now)
				}
				if random.IntN(4) == 0 {
					return errMind
				}
				committed = m
				return nil
			})
			if err != nil {
				require.ErrorIs(t, err, errMind)
			}
			now += int64(random.IntN(3))
			replay := fmt.Sprintf("seed %d, step %d", seed, step)
			require.Equal(t, committed.lines(Range{}, now), lines(db.Scan(Range{})), replay)
			require.Equal(t, committed.dataBytes(), headOf(db).dataBytes, replay)
		}
		require.NoError(t, db.Close())
		db, err = Open(storeDir, opts)
		require.NoError(t, err)
		setNow(db, func() int64 { return now })
		require.Equal(t, committed.lines(Range{}, now), lines(db.Scan(Range{})), "seed %d", seed)
		require.NoError(t, db.Close())
	}
}

// randomStep writes something to a transaction and its model, or compares the two.
func randomStep(t *testing.T, random *rand.Rand, tx *Tx, m model, now int64) {
	switch random.IntN(6) {
	case 0:
		r := randomRange(random)
		want := m.lines(r, now)
		require.Equal(t, want, lines(tx.Scan(r)))
		require.Equal(t, len(want), counted(t, tx, r))
		requireEdges(t, m, tx, r, now)
	case 1, 2:
		key := randomKey(random)
		pair, found := m[string(key)]
		found = found && (pair.deadline == 0 || pair.deadline > now)
		value, err := tx.Get(key)
		require.Equal(t, !found, errors.Is(err, ErrNotFound))
		require.Equal(t, pair.value, map[bool]string{true: string(value), false: pair.value}[found])
		has, err := tx.Has(key)
		require.NoError(t, err)
		require.Equal(t, found, has)
	default:
		b := randomBatch(random, now)
		for _, mutation := range mutationsOf(b) {
			require.NoError(t, writeTo(tx, mutation))
		}
		m.apply(mutationsOf(b))
	}
}

// edged has a first and a last pair.
type edged interface {
	First(r Range) (key, value []byte, err error)
	Last(r Range) (key, value []byte, err error)
}

func requireEdges(t *testing.T, m model, in edged, r Range, now int64) {
	for _, last := range []bool{false, true} {
		r.Reverse, r.Limit = last, 1
		want := m.lines(Range{Start: r.Start, End: r.End, Prefix: r.Prefix, After: r.After}, now)
		if last && len(want) > 1 {
			want = want[len(want)-1:]
		}
		want = want[:min(1, len(want))]
		edge := map[bool]func(Range) ([]byte, []byte, error){false: in.First, true: in.Last}[last]
		key, value, err := edge(r)
		var got []string
		if !errors.Is(err, ErrNotFound) {
			require.NoError(t, err)
			got = []string{string(key) + "=" + string(value)}
		}
		require.Equal(t, append([]string(nil), want...), got)
	}
}

// writeTo does in a transaction what a mutation says.
func writeTo(tx *Tx, m Mutation) error {
	switch m.Kind {
	case MutationDelete:
		return tx.Delete(m.Key)
	case MutationDeleteRange:
		return tx.DeleteRange(m.Key, m.End)
	}
	return tx.PutDeadline(m.Key, m.Value, m.Deadline)
}

func TestAFunctionThatFailsLeavesNoTrace(t *testing.T) {
	ends := []struct {
		sentence string
		end      func() error
		want     any // What came out of Update, returned or recovered.
	}{
		{"it returns an error", func() error { return errMind }, errMind},
		{"it panics", func() error { panic("oops") }, "oops"},
		{"it panics with nothing to say", func() error { panic(nil) }, &runtime.PanicNilError{}},
	}
	for _, writes := range []int{1, pendingMax, pendingMax + 1, 500} {
		for _, e := range ends {
			t.Run(fmt.Sprintf("%s after %d writes", e.sentence, writes), func(t *testing.T) {
				eachMode(t, func(t *testing.T, db *DB) {
					put(t, db, "k", "v")
					before := headOf(db).dataBytes
					require.IsType(t, e.want, outcome(func() error {
						return db.Update(func(tx *Tx) error {
							for i := range writes {
								require.NoError(t, tx.Put(fmt.Appendf(nil, "%03d", i), []byte("x")))
							}
							require.NoError(t, tx.DeleteRange([]byte("k"), nil))
							return e.end()
						})
					}))
					require.EqualValues(t, 1, db.Offset())
					require.Equal(t, before, headOf(db).dataBytes)
					requireHolds(t, db, "k=v")
					require.EqualValues(t, 2, put(t, db, "k", "the store goes on"))
				})
			})
		}
	}
}

// outcome returns what came out of a function, returned or recovered.
func outcome(call func() error) (out any) {
	defer func() {
		if r := recover(); r != nil {
			out = r
		}
	}()
	return call()
}

func TestTheFunctionsErrorIsReturnedAsItIs(t *testing.T) {
	db, _ := openMem(t)
	require.True(t, db.Update(func(*Tx) error { return errMind }) == errMind)
	require.True(t, db.View(func(*Tx) error { return errMind }) == errMind)
}

// TestGoexitGivesTheLockBack: testing's FailNow ends a goroutine that way, in the middle of whatever it does.
func TestGoexitGivesTheLockBack(t *testing.T) {
	db, _ := openMem(t)
	var goroutine sync.WaitGroup
	goroutine.Go(func() {
		_ = db.Update(func(tx *Tx) error {
			_ = tx.Put([]byte("k"), nil)
			runtime.Goexit()
			return nil
		})
	})
	goroutine.Wait()
	require.EqualValues(t, 1, put(t, db, "a", "v"))
	requireHolds(t, db, "a=v")
}

func TestATransactionThatTheDiskRefusesLeavesNoTrace(t *testing.T) {
	mem := vfs.NewMem()
	db := openStore(t, storeDir, memOptions(mem))
	put(t, db, "k", "v")
	mem.SetCapacity(1)
	for _, writes := range []int{1, pendingMax + 1} {
		err := db.Update(func(tx *Tx) error {
			for i := range writes {
				require.NoError(t, tx.Put(fmt.Append(nil, i), make([]byte, 16<<10)))
			}
			return nil
		})
		require.ErrorIs(t, err, ErrNoSpace)
		require.ErrorIs(t, err, syscall.ENOSPC)
		requireHolds(t, db, "k=v")
		require.Equal(t, 1, headOf(db).tree.len())
	}
	mem.SetCapacity(0)
	require.EqualValues(t, 2, put(t, db, "k", "there is room"))
}

// TestIterationSeesTheTransactionAsItWasWhenItBegan is the definition of writing while iterating, both ways round, with few
// and many writes, and for an iteration inside another.
func TestIterationSeesTheTransactionAsItWasWhenItBegan(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		for _, writesBefore := range []int{0, 1, pendingMax + 1} {
			db, _ := openMem(t)
			m := model{}
			for i := range 100 {
				put(t, db, fmt.Sprintf("k%03d", i), "old")
				m[fmt.Sprintf("k%03d", i)] = modelPair{value: "old"}
			}
			inUpdate(t, db, func(tx *Tx) {
				for i := range writesBefore {
					require.NoError(t, tx.Put(fmt.Appendf(nil, "before%03d", i), nil))
					m[fmt.Sprintf("before%03d", i)] = modelPair{}
				}
				want := m.lines(Range{Reverse: reverse}, 0)
				var seen []string
				for key, value := range tx.Scan(Range{Reverse: reverse}) {
					seen = append(seen, string(key)+"="+string(value))
					require.NoError(t, tx.Put(key, []byte("new")))
					require.NoError(t, tx.Put(append([]byte("z"), key...), []byte("new")))
					require.NoError(t, tx.DeleteRange([]byte("k050"), []byte("k060")))
					require.Equal(t, len(seen), counted(t, tx, Range{Prefix: []byte("z")}), "what was written is seen outside of it")
					inner := counted(t, tx, Range{})
					for range tx.Scan(Range{}) {
						require.NoError(t, tx.Delete([]byte("k000")))
						inner--
					}
					require.Zero(t, inner)
				}
				require.Equal(t, want, seen)
			})
		}
	}
}

// TestAnIterationThatOutlivesItsTransactionEnds: it could otherwise walk through a tree that others change.
func TestAnIterationThatOutlivesItsTransactionEnds(t *testing.T) {
	db, _ := openMem(t)
	for i := range 500 {
		put(t, db, fmt.Sprintf("%03d", i), "v")
	}
	for _, run := range []func(func(tx *Tx) error) error{db.Update, db.View} {
		var next func() ([]byte, []byte, bool)
		var stop func()
		require.NoError(t, run(func(tx *Tx) error {
			next, stop = iter.Pull2(tx.Scan(Range{}))
			_, _, ok := next()
			require.True(t, ok)
			return nil
		}))
		put(t, db, "0005", "v")
		_, _, ok := next()
		require.False(t, ok)
		stop()
	}
}

func TestATransactionIsOverWithItsFunction(t *testing.T) {
	for _, writable := range []bool{true, false} {
		db, _ := openMem(t)
		put(t, db, "k", "v")
		run := map[bool]func(func(*Tx) error) error{true: db.Update, false: db.View}[writable]
		var kept *Tx
		for _, end := range []error{nil, errMind} {
			require.Equal(t, end, run(func(tx *Tx) error {
				kept = tx
				return end
			}))
			_, err := kept.Get([]byte("k"))
			require.ErrorIs(t, err, ErrTxDone)
			_, err = kept.Has([]byte("k"))
			require.ErrorIs(t, err, ErrTxDone)
			require.ErrorIs(t, kept.Put([]byte("k"), nil), ErrTxDone)
			require.ErrorIs(t, kept.PutDeadline([]byte("k"), nil, time.Time{}), ErrTxDone)
			require.ErrorIs(t, kept.Delete([]byte("k")), ErrTxDone)
			require.ErrorIs(t, kept.DeleteRange(nil, nil), ErrTxDone)
			require.PanicsWithError(t, ErrTxDone.Error(), func() { lines(kept.Scan(Range{})) })
			_, err = kept.Count(Range{})
			require.ErrorIs(t, err, ErrTxDone)
			_, _, err = kept.First(Range{})
			require.ErrorIs(t, err, ErrTxDone)
			_, _, err = kept.Last(Range{})
			require.ErrorIs(t, err, ErrTxDone)
			require.Zero(t, kept.Offset())
			require.Equal(t, writable, kept.Writable())
		}
		requireHolds(t, db, "k=v")
	}
}

func TestAViewRefusesWrites(t *testing.T) {
	db, _ := openMem(t)
	put(t, db, "k", "v")
	require.NoError(t, db.View(func(tx *Tx) error {
		require.False(t, tx.Writable())
		require.ErrorIs(t, tx.Put([]byte("k"), nil), ErrTxReadOnly)
		require.ErrorIs(t, tx.Delete([]byte("k")), ErrTxReadOnly)
		require.ErrorIs(t, tx.DeleteRange(nil, nil), ErrTxReadOnly)
		require.Equal(t, []string{"k=v"}, lines(tx.Scan(Range{})))
		return nil
	}))
	require.EqualValues(t, 1, db.Offset())
}

func TestARefusedWriteLeavesTheTransactionUsable(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.MaxCommitSize = 1 << 20
	db := openStore(t, storeDir, opts)
	large := make([]byte, MaxValueSize+1)
	inUpdate(t, db, func(tx *Tx) {
		require.NoError(t, tx.Put([]byte("first"), nil))
		require.ErrorIs(t, tx.Put(nil, nil), ErrEmptyKey)
		require.ErrorIs(t, tx.Delete(nil), ErrEmptyKey)
		require.ErrorIs(t, tx.Put(large[:MaxKeySize+1], nil), ErrKeyTooLarge)
		require.ErrorIs(t, tx.DeleteRange(nil, large[:MaxKeySize+1]), ErrKeyTooLarge)
		require.ErrorIs(t, tx.Put([]byte("k"), large), ErrValueTooLarge)
		require.ErrorIs(t, tx.Put([]byte("k"), large[:1<<20]), ErrCommitTooLarge)
		_, err := tx.Get(nil)
		require.ErrorIs(t, err, ErrEmptyKey)
		_, err = tx.Get([]byte("k"))
		require.ErrorIs(t, err, ErrNotFound)
		require.NoError(t, tx.Put([]byte("last"), nil))
	})
	requireHolds(t, db, "first=", "last=")
}

func TestATransactionMayBeAsLargeAsACommit(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.MaxCommitSize = 10_000
	db := openStore(t, storeDir, opts)
	written := 0
	inUpdate(t, db, func(tx *Tx) {
		for {
			if err := tx.Put(fmt.Appendf(nil, "%05d", written), []byte("value")); err != nil {
				require.ErrorIs(t, err, ErrCommitTooLarge)
				return
			}
			written++
		}
	})
	require.Greater(t, written, 500)
	require.Equal(t, written, db.Stats().Keys)
}

func TestNilValueInATransactionIsAnEmptyOne(t *testing.T) {
	db, _ := openMem(t)
	inUpdate(t, db, func(tx *Tx) {
		require.NoError(t, tx.Put([]byte("k"), nil))
		value, err := tx.Get([]byte("k"))
		require.NoError(t, err)
		require.NotNil(t, value)
		require.Empty(t, value)
	})
}

func TestATransactionCopiesWhatItIsGiven(t *testing.T) {
	db, _ := openMem(t)
	inUpdate(t, db, func(tx *Tx) {
		key, value := []byte("k"), []byte("v")
		require.NoError(t, tx.Put(key, value))
		clear(key)
		clear(value)
	})
	requireHolds(t, db, "k=v")
}

func TestATransactionSeesOneInstantOfTheClock(t *testing.T) {
	db, _ := openMem(t)
	now := int64(1000)
	setNow(db, func() int64 { return now })
	see := func(tx *Tx, want ...string) {
		require.Equal(t, want, lines(tx.Scan(Range{})))
		require.Equal(t, len(want), counted(t, tx, Range{}))
	}
	inUpdate(t, db, func(tx *Tx) {
		require.NoError(t, tx.PutDeadline([]byte("gone"), nil, time.Unix(0, 1000)))
		require.NoError(t, tx.PutDeadline([]byte("short"), nil, time.Unix(0, 1001)))
		_, err := tx.Get([]byte("gone"))
		require.ErrorIs(t, err, ErrNotFound)
		now = 2000
		_, err = tx.Get([]byte("short"))
		require.NoError(t, err, "looked up before there is a tree")
		see(tx, "short=")
		_, err = tx.Get([]byte("short"))
		require.NoError(t, err, "looked up in the tree")
	})
	requireHolds(t, db)
	now = 1000
	require.NoError(t, db.View(func(tx *Tx) error {
		now = 2000
		see(tx, "short=")
		return nil
	}))
}

func TestCountersLoseNothing(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		const writers, increments = 16, 60
		var done sync.WaitGroup
		for range writers {
			done.Go(func() {
				for range increments {
					if err := db.Update(func(tx *Tx) error {
						return setNumber(tx, "counter", number(t, tx.Get, "counter")+1)
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		done.Wait()
		require.Equal(t, writers*increments, number(t, db.Get, "counter"))
		require.EqualValues(t, writers*increments, db.Offset())
	})
}

func TestOneOfManyWinsACompareAndSet(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		for round := range 30 {
			var won atomic.Int64
			var done sync.WaitGroup
			for range 8 {
				done.Go(func() {
					err := db.Update(func(tx *Tx) error {
						if number(t, tx.Get, "k") != round {
							return errMind
						}
						return setNumber(tx, "k", round+1)
					})
					if err == nil {
						won.Add(1)
					}
				})
			}
			done.Wait()
			require.EqualValues(t, 1, won.Load())
		}
	})
}

// TestTransfersKeepTheSum moves money between accounts by 16 goroutines, some of which fail or panic half-way, while
// others count it, in Views, in Updates, in held Snapshots and by Scan.
func TestTransfersKeepTheSum(t *testing.T) {
	const accounts, writers, transfers, sum = 10, 16, 40, 10 * 100
	eachMode(t, func(t *testing.T, db *DB) {
		inUpdate(t, db, func(tx *Tx) {
			for i := range accounts {
				require.NoError(t, setNumber(tx, fmt.Sprintf("account/%d", i), 100))
			}
		})
		var stop atomic.Bool
		var counters, movers sync.WaitGroup
		for _, count := range sums(db) {
			counters.Go(func() {
				for !stop.Load() {
					if counted := count(); counted != sum {
						t.Errorf("the sum is %d", counted)
						return
					}
				}
			})
		}
		for w := range writers {
			movers.Go(func() {
				random := rand.New(rand.NewPCG(uint64(w), 7))
				for range transfers {
					_ = outcome(func() error { return transfer(t, db, random, accounts) })
				}
			})
		}
		movers.Wait()
		stop.Store(true)
		counters.Wait()
		require.Equal(t, sum, sumOf(db.Scan(Range{})))
	})
}

// transfer moves some money between two accounts; it may change its mind, or panic, when it has taken it from the one.
func transfer(t *testing.T, db *DB, random *rand.Rand, accounts int) error {
	from, to, amount, end := random.IntN(accounts), random.IntN(accounts), random.IntN(50), random.IntN(8)
	return db.Update(func(tx *Tx) error {
		source, target := fmt.Sprintf("account/%d", from), fmt.Sprintf("account/%d", to)
		if err := setNumber(tx, source, number(t, tx.Get, source)-amount); err != nil {
			return err
		}
		switch end {
		case 0:
			return errMind
		case 1:
			panic(errMind)
		}
		return setNumber(tx, target, number(t, tx.Get, target)+amount)
	})
}

// sums returns ways to count all the money.
func sums(db *DB) []func() int {
	return []func() int{
		func() int { return sumOf(db.Scan(Range{})) },
		func() (sum int) {
			_ = db.View(func(tx *Tx) error {
				sum = sumOf(tx.Scan(Range{}))
				return nil
			})
			return sum
		},
		func() (sum int) {
			_ = db.Update(func(tx *Tx) error {
				sum = sumOf(tx.Scan(Range{}))
				return nil
			})
			return sum
		},
		func() int {
			view, err := db.ReadView()
			if err != nil {
				return 0
			}
			defer view.Close()
			return sumOf(view.Scan(Range{Reverse: true}))
		},
	}
}

func sumOf(scan iter.Seq2[[]byte, []byte]) (sum int) {
	for _, value := range scan {
		n, _ := strconv.Atoi(string(value))
		sum += n
	}
	return sum
}

// TestWriteSkewCannotHappen: two doctors are on call, each may leave if the other stays, both try at the same time. Under
// mere snapshot isolation both would leave.
func TestWriteSkewCannotHappen(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		for range 50 {
			put(t, db, "on call/ann", "")
			put(t, db, "on call/bob", "")
			var done sync.WaitGroup
			for _, doctor := range []string{"ann", "bob"} {
				done.Go(func() {
					_ = db.Update(func(tx *Tx) error {
						if counted(t, tx, Range{Prefix: []byte("on call/")}) < 2 {
							return errMind
						}
						return tx.Delete([]byte("on call/" + doctor))
					})
				})
			}
			done.Wait()
			require.Len(t, lines(db.Scan(Range{Prefix: []byte("on call/")})), 1)
		}
	})
}

// TestWhatAnUpdateReadIsDurableBeforeItIsAnswered holds up the sync of a commit, which an Update then reads. It must not
// answer, with success or with an error of its own, before that commit is durable.
func TestWhatAnUpdateReadIsDurableBeforeItIsAnswered(t *testing.T) {
	for _, verdict := range []error{nil, errMind} {
		mem := vfs.NewMem()
		db := openStore(t, storeDir, Options{fs: mem})
		put(t, db, "k", "1")
		var read, answered atomic.Bool
		held, release := holdSync(mem, nil)
		var done sync.WaitGroup
		done.Go(func() { put(t, db, "k", "2") })
		waitUntil(t, held.Load)
		done.Go(func() {
			err := db.Update(func(tx *Tx) error {
				read.Store(number(t, tx.Get, "k") == 2)
				return verdict
			})
			answered.Store(true)
			if !errors.Is(err, verdict) {
				t.Errorf("the verdict was %v", err)
			}
		})
		waitUntil(t, read.Load)
		time.Sleep(5 * time.Millisecond)
		require.False(t, answered.Load())
		close(release)
		done.Wait()
		require.EqualValues(t, 2, db.Offset(), "and it wrote nothing")
	}
}

func TestWhatAnUpdateReadMayBeLost(t *testing.T) {
	mem := vfs.NewMem()
	db, err := Open(storeDir, Options{fs: mem})
	require.NoError(t, err)
	put(t, db, "k", "1")
	var read atomic.Bool
	held, release := holdSync(mem, errDisk)
	var done sync.WaitGroup
	done.Go(func() { _, _ = db.Put([]byte("k"), []byte("2")) })
	waitUntil(t, held.Load)
	done.Go(func() {
		err := db.Update(func(tx *Tx) error {
			read.Store(true)
			return errMind
		})
		if !errors.Is(err, errMind) || !errors.Is(err, ErrFailed) {
			t.Errorf("the error is %v", err)
		}
	})
	waitUntil(t, read.Load)
	close(release)
	done.Wait()
	require.ErrorIs(t, db.Update(func(*Tx) error { return nil }), ErrFailed)
	require.NoError(t, db.View(func(tx *Tx) error {
		require.Equal(t, 1, number(t, tx.Get, "k"))
		return nil
	}), "reads go on")
	require.ErrorIs(t, db.Close(), ErrFailed)
}

func TestAnUpdateThatChangesNothingWritesNothing(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		put(t, db, "k", "v")
		writes := db.Stats().Writes
		inUpdate(t, db, func(tx *Tx) { require.Equal(t, []string{"k=v"}, lines(tx.Scan(Range{}))) })
		require.Equal(t, writes, db.Stats().Writes)
		require.EqualValues(t, 1, db.Offset())
	})
}

func TestTransactionsOfAStoreThatCannotRunThem(t *testing.T) {
	never := func(*Tx) error {
		t.Error("the function ran")
		return nil
	}
	mem := vfs.NewMem()
	db, err := Open(storeDir, memOptions(mem))
	require.NoError(t, err)
	put(t, db, "k", "v")
	require.NoError(t, db.Close())
	require.ErrorIs(t, db.Update(never), ErrClosed)
	require.ErrorIs(t, db.View(never), ErrClosed)
	_, err = db.ReadView()
	require.ErrorIs(t, err, ErrClosed)

	opts := memOptions(mem)
	opts.ReadOnly = true
	db = openStore(t, storeDir, opts)
	require.ErrorIs(t, db.Update(never), ErrReadOnly)
	require.NoError(t, db.View(func(tx *Tx) error {
		require.Equal(t, []string{"k=v"}, lines(tx.Scan(Range{})))
		return nil
	}))
}

func TestAViewGoesOnWhenItsStoreIsClosed(t *testing.T) {
	db, err := Open(storeDir, memOptions(vfs.NewMem()))
	require.NoError(t, err)
	put(t, db, "k", "v")
	require.NoError(t, db.View(func(tx *Tx) error {
		require.NoError(t, db.Close())
		require.Equal(t, []string{"k=v"}, lines(tx.Scan(Range{})))
		return nil
	}))
}

func TestACancelledContextChangesNothing(t *testing.T) {
	db, _ := openMem(t)
	ctx, cancel := context.WithCancel(t.Context())
	inside := db.UpdateContext(ctx, func(tx *Tx) error {
		cancel()
		return tx.Put([]byte("k"), nil)
	})
	var b Batch
	b.Put([]byte("k"), nil)
	_, applied := db.ApplyContext(ctx, &b)
	before := db.UpdateContext(ctx, func(*Tx) error {
		t.Error("the function ran")
		return nil
	})
	for _, err := range []error{inside, applied, before} {
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "nothing was changed")
	}
	requireHolds(t, db)
	require.EqualValues(t, 1, put(t, db, "k", "the store goes on"))
}

// TestAContextEndsTheWaitForTheLock has an Update that holds the lock until the others have given up.
func TestAContextEndsTheWaitForTheLock(t *testing.T) {
	db, _ := openMem(t)
	release, inside := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		_ = db.Update(func(tx *Tx) error {
			close(inside)
			<-release
			return tx.Put([]byte("slow"), nil)
		})
	})
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var b Batch
	b.Put([]byte("k"), nil)
	_, applied := db.ApplyContext(ctx, &b)
	updated := db.UpdateContext(ctx, func(tx *Tx) error { return tx.Put([]byte("k"), nil) })
	for _, err := range []error{applied, updated} {
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "nothing was changed")
	}
	close(release)
	done.Wait()
	requireHolds(t, db, "slow=")

	patient, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 8 { // They wait for each other's lock with a context, and all get it.
		done.Go(func() {
			for range 50 {
				if err := db.UpdateContext(patient, func(tx *Tx) error { return setNumber(tx, "n", number(t, tx.Get, "n")+1) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	require.Equal(t, 400, number(t, db.Get, "n"))
}

// TestACommitThatIsNoLongerWaitedForHappens holds the sync up until the callers have left, the leader among them.
func TestACommitThatIsNoLongerWaitedForHappens(t *testing.T) {
	mem := vfs.NewMem()
	db := openStore(t, storeDir, Options{fs: mem})
	put(t, db, "k", "v")
	release := make(chan struct{})
	mem.SetHook(func(c vfs.Call) error {
		if isStoreSync(c) {
			<-release
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	for i := range 4 {
		done.Go(func() {
			err := db.UpdateContext(ctx, func(tx *Tx) error { return tx.Put(fmt.Append(nil, i), nil) })
			if !errors.Is(err, context.Canceled) || !errors.Is(err, ctx.Err()) {
				t.Errorf("the error is %v", err)
			}
			require.ErrorContains(t, err, "may still happen")
		})
	}
	waitUntil(t, func() bool { // Head itself goes on changing while commits come.
		db.mu.Lock()
		defer db.mu.Unlock()
		return db.last == 5
	})
	cancel()
	done.Wait()
	require.EqualValues(t, 1, db.Offset())
	close(release)
	waitUntil(t, func() bool { return db.Offset() == 5 })
	requireHolds(t, db, "0=", "1=", "2=", "3=", "k=v")
}

func TestReadingInATransactionAllocatesNothing(t *testing.T) {
	db, _ := openMem(t)
	inUpdate(t, db, func(tx *Tx) {
		for i := range 1000 {
			require.NoError(t, tx.Put(fmt.Append(nil, i), []byte("v")))
		}
	})
	read := func(tx *Tx) {
		key, absent := []byte("500"), []byte("absent")
		require.Zero(t, testing.AllocsPerRun(100, func() {
			_, _ = tx.Get(key)
			_, _ = tx.Has(absent)
		}))
	}
	require.NoError(t, db.View(func(tx *Tx) error {
		read(tx)
		return nil
	}))
	inUpdate(t, db, func(tx *Tx) {
		require.NoError(t, tx.Put([]byte("500"), nil))
		read(tx)
	})
}

// TestReadsInsideAnUpdateSeeTheVisibleState is what is allowed to be nested.
func TestReadsInsideAnUpdateSeeTheVisibleState(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		put(t, db, "k", "visible")
		inUpdate(t, db, func(tx *Tx) {
			require.NoError(t, tx.Put([]byte("k"), []byte("own")))
			value, err := db.Get([]byte("k"))
			require.NoError(t, err)
			require.Equal(t, "visible", string(value))
			requireHolds(t, db, "k=visible")
			require.EqualValues(t, 1, db.Offset())
			require.NoError(t, db.View(func(tx *Tx) error {
				require.Equal(t, []string{"k=visible"}, lines(tx.Scan(Range{})))
				return nil
			}))
			view, err := db.ReadView()
			require.NoError(t, err)
			require.NoError(t, view.Close())
			require.Equal(t, 1, db.Stats().Keys)
			require.NoError(t, db.Sync())
			require.Equal(t, []string{"k=own"}, lines(tx.Scan(Range{})))
		})
		requireHolds(t, db, "k=own")
	})
}

// TestANestedCommitGivesUpWithItsContext: one without a context deadlocks, as Update says.
func TestANestedCommitGivesUpWithItsContext(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		nested := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			return db.UpdateContext(ctx, func(*Tx) error { return errMind })
		}
		inUpdate(t, db, func(tx *Tx) {
			require.ErrorIs(t, nested(), context.DeadlineExceeded)
			next, stop := iter.Pull(func(yield func(error) bool) { yield(nested()) })
			defer stop()
			err, _ := next()
			require.ErrorIs(t, err, context.DeadlineExceeded, "in a coroutine")
			require.NoError(t, tx.Put([]byte("k"), []byte("goes on")))
		})
		requireHolds(t, db, "k=goes on")
	})
}

// TestAPanicLeavesAnUpdateOnceWhatItReadIsDurable is promise P2 for what a function may have made known before it panicked.
func TestAPanicLeavesAnUpdateOnceWhatItReadIsDurable(t *testing.T) {
	mem := vfs.NewMem()
	db := openStore(t, storeDir, Options{fs: mem})
	put(t, db, "k", "1")
	var over atomic.Bool
	held, release := holdSync(mem, nil)
	var done sync.WaitGroup
	done.Go(func() { put(t, db, "k", "2") })
	waitUntil(t, held.Load)
	seen := make(chan string, 1)
	done.Go(func() {
		_ = outcome(func() error {
			return db.Update(func(tx *Tx) error {
				value, _ := tx.Get([]byte("k"))
				seen <- string(value)
				panic("oops")
			})
		})
		over.Store(true)
	})
	require.Equal(t, "2", <-seen)
	time.Sleep(10 * time.Millisecond)
	require.False(t, over.Load(), "a power cut could still take what it read")
	close(release)
	done.Wait()
	require.True(t, over.Load())
}
