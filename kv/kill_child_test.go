package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// killDirEnv tells the test binary that it is the child of a kill test, and where its store is; killSyncEnv in what mode,
// and killDoneEnv how many steps each writer has done before.
const (
	killDirEnv  = "WALNUT_TEST_KILL_DIR"
	killSyncEnv = "WALNUT_TEST_KILL_SYNC"
	killDoneEnv = "WALNUT_TEST_KILL_DONE"
)

const (
	killWriters  = 8
	killAccounts = 16
	killBalance  = 1000 // Of each account at first.
	killKept     = 64   // How many steps back a writer's pairs go that its range deletes leave.
)

// killOptions let a child roll and sync many times in its short life.
func killOptions(mode SyncMode) Options {
	return Options{Sync: mode, SyncInterval: 5 * time.Millisecond, SegmentSize: 32 << 10}
}

// killWord is what a child says on its standard output: that a step was acknowledged and the offset of its commit, or in
// place of a writer how far it has come itself. It is written at once, so that no death cuts it in two.
type killWord struct {
	killStep
	Offset uint64
}

// What a child says of itself.
const (
	killOpening = killWriters + iota
	killOpened
)

func (word killWord) say() {
	said, err := binary.Append(nil, binary.LittleEndian, word)
	if err == nil {
		_, err = os.Stdout.Write(said)
	}
	if err != nil {
		panic(err)
	}
}

// runKillChild writes with all writers until it is killed. Another goroutine reads what no View may show otherwise.
func runKillChild(dir, mode, done string) {
	sync, err := ParseSyncMode(mode)
	if err != nil {
		panic(err)
	}
	killWord{killStep: killStep{Writer: killOpening}}.say()
	db, err := Open(dir, killOptions(sync))
	if err != nil {
		panic(err)
	}
	if db.Offset() == 0 {
		prepareKilled(db)
	}
	killWord{killStep: killStep{Writer: killOpened}}.say()
	for w, before := range strings.Fields(done) {
		first, err := strconv.ParseInt(before, 10, 64)
		if err != nil {
			panic(err)
		}
		go writeUntilKilled(db, int64(w), first+1)
	}
	for ; err == nil; time.Sleep(time.Millisecond) {
		err = db.View(viewKilled)
	}
	panic(err)
}

// prepareKilled makes the accounts, in the store's first commit.
func prepareKilled(db *DB) {
	var b Batch
	for a := range int64(killAccounts) {
		b.Put(killAccount(a), fmt.Append(nil, killBalance))
	}
	if _, err := db.Apply(&b); err != nil {
		panic(err)
	}
}

func writeUntilKilled(db *DB, w, first int64) {
	for i := first; ; i++ {
		step := killStep{w, i}
		offset, err := step.perform(db)
		if err != nil {
			panic(fmt.Errorf("%+v: %w", step, err))
		}
		killWord{step, offset}.say()
	}
}

// viewKilled complains about an instant that no order of whole transactions leads to.
func viewKilled(tx *Tx) error {
	sum := int64(0)
	for a := range int64(killAccounts) {
		sum += numberIn(tx, killAccount(a))
	}
	if sum != killAccounts*killBalance {
		return fmt.Errorf("a View sees the sum %d", sum)
	}
	for w := range int64(killWriters) {
		left, right := numberIn(tx, killKey(w, "left")), numberIn(tx, killKey(w, "right"))
		if left != right {
			return fmt.Errorf("a View sees half a batch of writer %d: %d and %d", w, left, right)
		}
	}
	return nil
}

// killStep is what a writer does as its step I, from 1: one commit, which follows from the two numbers alone but for the
// values of what is copied. Each leaves other pairs of its writer's than there were, so that the pairs tell the step.
type killStep struct{ Writer, I int64 }

// The kinds of steps, which take turns.
const (
	killPut = iota
	killPutAgain
	killDelete   // Of what killPutAgain put.
	killBatch    // Two pairs that are always alike, and range deletes of what is old.
	killTransfer // From one account to another, in an Update.
	killCount    // One more on a counter that all share, by compare-and-set.
	killCopy     // Of another writer's number, in an Update.
	killCopySeen // Of what Get sees of it.
	killKinds
)

func (s killStep) kind() int64 { return (s.I - 1) % killKinds }

// numbers says whether the step leaves its number for others to copy.
func (s killStep) numbers() bool { return s.kind() == killTransfer || s.kind() == killCount }

// nextNumber is the writer's next step that leaves its number.
func (s killStep) nextNumber() killStep {
	for s.I++; !s.numbers(); s.I++ {
	}
	return s
}

// oldest is the step from which on a batch leaves the writer's pairs.
func (s killStep) oldest() int64 { return max(0, s.I-killKept) }

// other is the writer that the step copies from: never its own.
func (s killStep) other() int64 { return (s.Writer + 1 + s.I/killKinds%(killWriters-1)) % killWriters }

// transfer says from and to which account the step moves how much.
func (s killStep) transfer() (from, to, amount int64) {
	from = (s.I/killKinds*5 + s.Writer) % killAccounts
	return from, (from + 1 + s.Writer) % killAccounts, 1 + s.I%7
}

func (s killStep) value() []byte { return fmt.Append(nil, s.I) }

func killKey(w int64, name string) []byte { return fmt.Appendf(nil, "%d/%s", w, name) }

// killNth is the key of a pair that one step makes; in the order of steps.
func killNth(w int64, name string, i int64) []byte { return fmt.Appendf(nil, "%d/%s/%09d", w, name, i) }

func killAccount(a int64) []byte { return fmt.Appendf(nil, "account/%02d", a) }

var killCounter = []byte("counter")

// perform returns the offset of the commit that it makes.
func (s killStep) perform(db *DB) (offset uint64, err error) {
	switch s.kind() {
	case killPut, killPutAgain:
		return db.Put(killNth(s.Writer, "pair", s.I), s.value())
	case killDelete:
		return db.Delete(killNth(s.Writer, "pair", s.I-1))
	case killBatch:
		return db.Apply(s.batch())
	case killCopySeen:
		seen := numberAt(db, string(killKey(s.other(), "number")))
		return db.Put(killNth(s.Writer, "copy", s.I), fmt.Append(nil, seen))
	case killCount:
		return s.count(db)
	}
	err = db.Update(func(tx *Tx) error {
		offset = tx.Offset() + 1
		if s.kind() == killCopy {
			return tx.Put(killNth(s.Writer, "copy", s.I), fmt.Append(nil, numberIn(tx, killKey(s.other(), "number"))))
		}
		from, to, amount := s.transfer()
		return errors.Join(
			tx.Put(killAccount(from), fmt.Append(nil, numberIn(tx, killAccount(from))-amount)),
			tx.Put(killAccount(to), fmt.Append(nil, numberIn(tx, killAccount(to))+amount)),
			tx.Put(killKey(s.Writer, "number"), s.value()))
	})
	return offset, err
}

func (s killStep) batch() *Batch {
	var b Batch
	b.Put(killKey(s.Writer, "left"), s.value())
	for _, name := range []string{"pair", "copy"} {
		b.DeleteRange(killNth(s.Writer, name, 0), killNth(s.Writer, name, s.oldest()))
	}
	b.Put(killKey(s.Writer, "right"), s.value())
	return &b
}

var errKillSwapped = errors.New("the counter is another by now")

// count reads the counter, and sets it to one more if it is still that by then; otherwise it tries again.
func (s killStep) count(db *DB) (offset uint64, err error) {
	for {
		seen := numberAt(db, string(killCounter))
		err = db.Update(func(tx *Tx) error {
			if numberIn(tx, killCounter) != seen {
				return errKillSwapped
			}
			offset = tx.Offset() + 1
			return errors.Join(tx.Put(killCounter, fmt.Append(nil, seen+1)), tx.Put(killKey(s.Writer, "number"), s.value()))
		})
		if !errors.Is(err, errKillSwapped) {
			return offset, err
		}
	}
}

// numberIn returns the number that is the value of a key, 0 where it is absent.
func numberIn(tx *Tx, key []byte) (number int64) {
	if value, err := tx.Get(key); err == nil {
		_, _ = fmt.Sscan(string(value), &number)
	}
	return number
}
