package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/crashtest"
	"github.com/walnutkv/walnut/internal/vfs"
)

// The crash test runs generated workloads on a disk in memory, and before every call that changes the disk it
// takes, for each policy, a state that a power cut could leave. Each state is opened, compared with what had been
// acknowledged, written to, and opened again; some are crashed again while they are being opened, up to twice. Half of the
// workloads have an archive: with the log it must hold every record from the first on. docs/testing.md says what it covers and how
// it was shown to find planted mistakes.
func TestEveryCrashLeavesAPrefixWithAllThatWasAcknowledged(t *testing.T) {
	var looks crashLooks
	want := crashtest.Share(90_000, 1)
	all := crashtest.Run(t, want, func(seed uint64, all *crashtest.Tally) { runCrashWorkload(t, seed, all, &looks) })
	t.Logf("%d histories read from archive and log; %d states read and checked, %d opened on a full disk",
		looks.histories.Load(), looks.readings.Load(), looks.full.Load())
	if !t.Failed() {
		require.GreaterOrEqual(t, all.Distinct(), want)
	}
}

// crashLooks counts at what else was looked than at logs that are opened to go on.
type crashLooks struct{ histories, readings, full atomic.Int64 }

// expectation is what must hold of a log that is opened after a crash.
type expectation struct {
	firsts      []uint64 // What First may be.
	acked       uint64   // The last offset acknowledged, which the death of the process alone doesn't take.
	lastMin     uint64   // At least this much was acknowledged, or served, as durable.
	lastMax     uint64   // No more than this was ever handed over.
	truncatedTo uint64   // Last may be this instead, as a truncation is under way; 0 if none is.
	payloads    [][]byte // By offset. Where it is nil, the payload says itself what it is.
	opts        Options
}

// crashRun is one workload.
type crashRun struct {
	t    *testing.T
	seed uint64
	rng  *rand.Rand // Of the workload.
	all  *crashtest.Tally
	look *crashLooks

	disk *vfs.Mem
	opts Options
	log  *Log

	copies bool // Files can't have a second name, so the archive gets copies.

	mu     sync.Mutex // Guards what follows; states are taken by whichever goroutine makes a call.
	lots   *rand.Rand // Of the crashes.
	expect expectation
	inject int // The call, counted from now on, at which something fails; 0 is none, -1 the next sync of the archive's names.
}

// runCrashWorkload runs the workload of one seed.
func runCrashWorkload(t *testing.T, seed uint64, all *crashtest.Tally, looks *crashLooks) {
	r := &crashRun{t: t, seed: seed, all: all, look: looks, rng: rand.New(rand.NewPCG(seed, 1)), lots: rand.New(rand.NewPCG(seed, 2))}
	r.disk = vfs.NewMem()
	r.disk.SetHook(r.call)
	r.opts = testOptions(r.disk)
	r.opts.Sync = SyncMode(r.rng.IntN(3))
	r.opts.writeFrom = []int{0, 0, 0, 1, 0, 0, 0, 100}[seed/2%8] // Where files are mapped: the default, only writes, some.
	r.opts.SegmentSize <<= r.rng.IntN(2)
	if seed%2 == 1 {
		r.opts.ArchiveDir, r.copies = archiveDir, r.rng.IntN(3) == 0
	}
	r.expect = expectation{firsts: []uint64{1}, payloads: make([][]byte, 1), opts: r.opts}
	defer func() {
		if p := recover(); p != nil {
			r.fail("panic: %v", p)
			panic(p)
		}
	}()
	if r.open(); r.log == nil {
		return
	}
	if seed%4 == 0 {
		r.runConcurrent()
	} else {
		r.runAlone()
	}
}

// fail reports a violation with the way to see it again.
func (r *crashRun) fail(format string, args ...any) {
	r.t.Errorf("%s\n  seed %d, replay with: go test ./wal -run TestEveryCrash -crash.seed=%d -crash.states=1", fmt.Sprintf(format, args...), r.seed, r.seed)
}

// call is the disk's hook.
func (r *crashRun) call(c vfs.Call) error {
	if !c.Op.Changes() {
		return nil
	}
	if *crashtest.States == 1 && !r.t.Failed() {
		r.t.Logf("call %d: %s %s %d+%d", c.N, c.Op, c.Name, c.Off, c.Len)
	}
	r.crash()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inject == -1 && c.Op == vfs.OpSyncDir && c.Name == r.opts.ArchiveDir {
		return errInjected
	}
	if r.inject > 0 {
		if r.inject--; r.inject == 0 {
			if c.Op == vfs.OpWrite {
				return &vfs.ShortWrite{Bytes: r.lots.IntN(int(c.Len) + 1), Err: errInjected}
			}
			return errInjected
		}
	}
	if c.Op == vfs.OpLink && r.copies {
		return syscall.EXDEV
	}
	return nil
}

var errInjected = errors.New("injected failure")

// isNew reports whether a state has not been checked before for what must hold of it, after some recoveries that were cut.
func (r *crashRun) isNew(disk *vfs.Mem, cuts int, e expectation) bool {
	return r.all.IsNew(disk, cuts, append(slices.Clip(e.firsts), e.lastMin, e.lastMax, e.truncatedTo)...)
}

// crash takes the states that a power cut at this moment could leave, and checks the new ones.
func (r *crashRun) crash() {
	for _, policy := range vfs.Policies {
		if r.t.Failed() {
			return // One violation is enough to look at.
		}
		r.mu.Lock()
		before, seed := r.expect, r.lots.Uint64()
		r.mu.Unlock()
		disk := r.disk.Crash(seed, policy)
		r.mu.Lock()
		e := r.expect // Whatever was handed over in between may be on the disk or not.
		r.mu.Unlock()
		e.lastMin = min(e.lastMin, before.lastMin)
		if e.lastMin != before.lastMin && before.truncatedTo == 0 && e.truncatedTo == 0 {
			e.lastMin = before.lastMin
		}
		if r.isNew(disk, 0, e) {
			r.check(disk, e, fmt.Sprintf("policy %s", policy), 2)
		}
	}
	if r.chance(4) {
		r.die()
	}
}

// die takes the state that the death of the process leaves: all that was written can be read, whether or not it is on
// the disk. What is served then must not be taken by a power cut later.
func (r *crashRun) die() {
	r.mu.Lock()
	acked := r.expect.acked // What others acknowledge from here on may come too late for the state.
	r.mu.Unlock()
	disk := r.disk.Exit()
	r.mu.Lock()
	e := r.expect
	r.mu.Unlock()
	e.acked = acked
	if r.chance(2) {
		r.crashRecovery(disk, e, "death of the process", 1)
		return
	}
	e.lastMin = max(e.lastMin, min(e.acked, e.lastMax))
	r.check(disk, e, "death of the process", 0)
}

// check opens a state and checks it; deeper says how many more crashes may follow while it is being opened.
func (r *crashRun) check(disk *vfs.Mem, e expectation, how string, deeper int) {
	opts := e.opts
	opts.FS = disk
	if r.chance(4) && deeper > 0 {
		r.crashRecovery(disk.Clone(), e, how, deeper-1)
	}
	if r.chance(4) && !r.compareHistory(disk, e, nil, how+", read as it was left") {
		return
	}
	if r.chance(3) && !r.checkReading(disk, e, how) || r.chance(4) && !r.checkFullDisk(disk, e, how) || r.chance(4) && !r.checkReadError(disk, e, how) {
		return
	}
	if r.chance(2) {
		opts.Sync = SyncMode(e.lastMax % 3) // Another mode than the one that wrote it.
	}
	l, err := Open(testDir, opts)
	if err != nil {
		r.fail("%s: open: %v", how, err)
		return
	}
	payloads, ok := r.compare(l, e, how)
	if !ok || !r.compareHistory(disk, e, l, how) {
		return
	}
	// What was recovered is written to, and has to come back with what was added.
	first := l.First()
	for range 2 {
		payload := fmt.Appendf(nil, "after the crash %d", l.Last()+1)
		if _, err := l.Append(payload); err != nil {
			r.fail("%s: append after the crash: %v", how, err)
			return
		}
		payloads = append(payloads, payload)
	}
	if err := l.Sync(); err != nil {
		r.fail("%s: sync after the crash: %v", how, err)
		return
	}
	again := disk.Crash(1, vfs.KeepNone)
	if r.chance(2) {
		if err := l.Close(); err != nil {
			r.fail("%s: close after the crash: %v", how, err)
			return
		}
		again = disk.Exit()
	}
	r.checkAgain(again, expectation{firsts: []uint64{first}, lastMin: l.Last(), lastMax: l.Last(), payloads: payloads, opts: e.opts}, how)
}

// checkReading opens a state for reading, and checks it: both find what opening it for writing finds, and no damage.
func (r *crashRun) checkReading(disk *vfs.Mem, e expectation, how string) bool {
	if len(historyDirs(disk)) == 0 {
		return true // There is no log yet.
	}
	opts := readOnly(e.opts)
	opts.FS = disk.Clone()
	l, err := Open(testDir, opts)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil || l.damage != nil {
		r.fail("%s: open for reading: %v", how, errors.Join(err, damageOf(l)))
		return false
	}
	if _, ok := r.compare(l, e, how+", opened for reading"); !ok {
		return false
	}
	found, err := Check(testDir, opts)
	for _, v := range found {
		if v.Damage {
			err = fmt.Errorf("%v", v)
		}
	}
	if err = errors.Join(err, l.Close()); err != nil {
		r.fail("%s: check: %v", how, err)
	}
	r.look.readings.Add(1)
	return err == nil
}

// damageOf returns what a log that was opened for reading ends with, if it is damaged.
func damageOf(l *Log) error {
	if l == nil || l.damage == nil {
		return nil
	}
	return l.damage
}

// checkFullDisk opens a state on a disk without a free block.
func (r *crashRun) checkFullDisk(disk *vfs.Mem, e expectation, how string) bool {
	if len(historyDirs(disk)) == 0 {
		return true // A log that isn't there needs room to be made.
	}
	full := disk.Clone()
	full.SetCapacity(1)
	opts := e.opts
	opts.FS = full
	l, err := Open(testDir, opts)
	if errors.Is(err, ErrNoSpace) && !hasLog(disk) {
		return true
	}
	if err != nil {
		r.fail("%s: open on a full disk: %v", how, err)
		return false
	}
	r.look.full.Add(1)
	_, ok := r.compare(l, e, how+", opened on a full disk")
	return ok
}

// hasLog reports whether a disk has a store of the log.
func hasLog(disk *vfs.Mem) bool { return slices.Contains(historyDirs(disk), testDir) }

// checkReadError fails one read of an open: that is no damage, and the next open finds what there was.
func (r *crashRun) checkReadError(disk *vfs.Mem, e expectation, how string) bool {
	reads := func(c vfs.Call) bool { return c.Op == vfs.OpRead || c.Op == vfs.OpList || c.Op == vfs.OpMap }
	opts := e.opts
	failing := disk.Clone()
	r.mu.Lock()
	nth := 1 + r.lots.IntN(20)
	r.mu.Unlock()
	var seen atomic.Int64
	failing.SetHook(func(c vfs.Call) error {
		if reads(c) && seen.Add(1) == int64(nth) {
			return errInjected
		}
		return nil
	})
	opts.FS = failing
	if _, err := Open(testDir, opts); errors.Is(err, ErrCorrupt) {
		r.fail("%s: read %d fails, which is taken for damage: %v", how, nth, err)
		return false
	}
	opts.FS = failing.Exit()
	l, err := Open(testDir, opts)
	if err != nil {
		r.fail("%s: open after read %d failed: %v", how, nth, err)
		return false
	}
	_, ok := r.compare(l, e, how+", after a read that failed")
	return ok
}

// checkAgain opens a state for the second time.
func (r *crashRun) checkAgain(disk *vfs.Mem, e expectation, how string) {
	opts := e.opts
	opts.FS = disk
	l, err := Open(testDir, opts)
	if err != nil {
		r.fail("%s: open again: %v", how, err)
		return
	}
	if _, ok := r.compare(l, e, how+", opened again"); ok {
		r.compareHistory(disk, e, l, how+", opened again")
	}
}

func (r *crashRun) chance(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lots.IntN(n) == 0
}

// crashRecovery opens a state and crashes it again before every call that the recovery makes.
func (r *crashRun) crashRecovery(disk *vfs.Mem, e expectation, how string, deeper int) {
	opts := e.opts
	opts.FS = disk
	disk.SetHook(func(c vfs.Call) error {
		if c.Op.Changes() {
			r.mu.Lock()
			policy, seed := vfs.Policies[r.lots.IntN(len(vfs.Policies))], r.lots.Uint64()
			r.mu.Unlock()
			if twice := disk.Crash(seed, policy); r.isNew(twice, 2-deeper, e) {
				r.check(twice, e, fmt.Sprintf("%s, then %s at call %d (%s) of the recovery", how, policy, c.N, c.Op), deeper)
			}
		}
		return nil
	})
	if _, err := Open(testDir, opts); err != nil {
		r.fail("%s: open: %v", how, err)
	}
}

// compare compares a log with what is expected, and returns its payloads by offset.
func (r *crashRun) compare(l *Log, e expectation, how string) (payloads [][]byte, ok bool) {
	first, last := l.First(), l.Last()
	if !slices.Contains(e.firsts, first) {
		r.fail("%s: first offset is %d, want one of %d", how, first, e.firsts)
		return nil, false
	}
	low := max(e.lastMin, first-1)
	if (last < low || last > max(e.lastMax, first-1)) && (e.truncatedTo == 0 || last != e.truncatedTo-1) {
		r.fail("%s: last offset is %d, want %d to %d, or %d-1 (%+v)", how, last, low, e.lastMax, e.truncatedTo, l.Recovery())
		return nil, false
	}
	payloads = make([][]byte, first)
	copy(payloads, e.payloads)
	for record, err := range l.Records(first) {
		if err != nil {
			r.fail("%s: read offset %d: %v", how, len(payloads), err)
			return nil, false
		}
		if want := wantPayload(e.payloads, record); !bytes.Equal(want, record.Payload) {
			r.fail("%s: offset %d is %q, want %q", how, record.Offset, clip(record.Payload), clip(want))
			return nil, false
		}
		payloads = append(payloads, bytes.Clone(record.Payload))
	}
	if uint64(len(payloads)) != last+1 {
		r.fail("%s: read %d to %d, want up to %d", how, first, len(payloads)-1, last)
		return nil, false
	}
	return payloads, true
}

// compareHistory checks that archive and log hold every record from the first on. The log is nil where nobody has opened
// it since the crash.
func (r *crashRun) compareHistory(disk *vfs.Mem, e expectation, l *Log, how string) bool {
	dirs := historyDirs(disk)
	if len(dirs) == 0 || len(dirs) == 1 && l != nil {
		return true // There is no archive: nothing but the log, which was compared, or not even that.
	}
	opts := e.opts
	opts.FS = disk
	a, err := OpenArchive(opts, dirs...)
	if err != nil {
		r.fail("%s: %v", how, err)
		return false
	}
	if l != nil && a.Last() != l.Last() || a.First() != 1 && len(dirs) > 1 {
		r.fail("%s: the history is %d to %d, want 1 to what the log has", how, a.First(), a.Last())
		return false
	}
	if a.Last() < e.lastMin && (e.truncatedTo == 0 || a.Last() != e.truncatedTo-1) {
		r.fail("%s: the history ends with %d, want %d at least", how, a.Last(), e.lastMin)
		return false
	}
	if len(dirs) > 1 {
		r.look.histories.Add(1)
	}
	next := a.First()
	for record, err := range a.Records(next) {
		if err != nil || record.Offset != next || !bytes.Equal(record.Payload, wantPayload(e.payloads, record)) {
			r.fail("%s: history: %v, offset %d, want %d, is %q", how, err, record.Offset, next, clip(record.Payload))
			return false
		}
		next++
	}
	if next != a.Last()+1 || a.Close() != nil {
		r.fail("%s: the history reads up to %d, want %d", how, next-1, a.Last())
		return false
	}
	return true
}

// historyDirs returns the directories in which a disk has stores: the archive's, if it is there, first.
func historyDirs(disk *vfs.Mem) (dirs []string) {
	for _, name := range disk.Names() { // Sorted: /archive comes before /log.
		if dir, base := path.Split(name); strings.HasSuffix(base, storeSuffix) && !slices.Contains(dirs, path.Clean(dir)) {
			dirs = append(dirs, path.Clean(dir))
		}
	}
	return dirs
}

// wantPayload returns what a record must hold.
func wantPayload(payloads [][]byte, record Record) []byte {
	if record.Offset < uint64(len(payloads)) && payloads[record.Offset] != nil {
		return payloads[record.Offset]
	}
	var appender, number uint64
	if _, err := fmt.Sscanf(string(clip(record.Payload)), "appender %d number %d ", &appender, &number); err != nil {
		return nil
	}
	return describedPayload(appender, number)
}

func clip(b []byte) []byte { return b[:min(len(b), 60)] }

// describedPayload is a payload that says what it is, followed by zeros or by noise.
func describedPayload(appender, number uint64) []byte {
	rng := rand.New(rand.NewPCG(appender, number))
	payload := fmt.Appendf(nil, "appender %d number %d ", appender, number)
	tail := make([]byte, rng.IntN(90))
	if number%3 > 0 {
		for i := range tail {
			tail[i] = byte(rng.Uint32())
		}
	}
	return append(payload, tail...)
}

// open opens the log, and takes what it recovered for served.
func (r *crashRun) open() {
	r.mu.Lock()
	r.opts.Sync = SyncMode(r.rng.IntN(3))
	r.expect.opts.Sync = r.opts.Sync
	r.mu.Unlock()
	log, err := Open(testDir, r.opts)
	r.log = log
	if err != nil {
		if !errors.Is(err, errInjected) {
			r.fail("open: %v", err)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &r.expect
	e.firsts = []uint64{log.First()}
	e.lastMin, e.lastMax, e.acked = log.Last(), log.Last(), log.Last()
	e.truncatedTo = 0
	if r.opts.Sync != SyncAlways {
		e.lastMin = log.Durable()
	}
	e.payloads = slices.Clip(e.payloads[:log.Last()+1])
}

// runAlone is a workload of one goroutine, whose every step the model knows before it happens.
func (r *crashRun) runAlone() {
	for range 25 + r.rng.IntN(50) {
		if r.t.Failed() {
			return
		}
		if r.rng.IntN(25) == 0 {
			r.mu.Lock()
			r.inject = 1 + r.rng.IntN(8)
			r.mu.Unlock()
		}
		if err := r.step(); err != nil {
			if !errors.Is(err, errInjected) && !errors.Is(err, ErrFailed) {
				r.fail("step: %v", err)
				return
			}
			if !r.restart() {
				return
			}
		}
	}
	r.crash()
}

// restart is the end of the process after a failure, and the start of the next one. What the failed sync dropped can
// be read, but is on no disk.
func (r *crashRun) restart() bool {
	r.mu.Lock()
	r.disk = r.disk.Exit()
	r.disk.SetHook(r.call)
	r.opts.FS = r.disk
	r.inject = 0
	r.mu.Unlock()
	r.open()
	return r.log != nil
}

// step does one thing to the log.
func (r *crashRun) step() error {
	switch n := r.rng.IntN(40); {
	case n < 22:
		return r.append(1)
	case n < 27:
		return r.append(2 + r.rng.IntN(6))
	case n < 30:
		r.log.markIdle()
		return r.log.writable()
	case n < 32:
		return r.sync()
	case n < 34:
		return r.truncateFront()
	case n < 36:
		return r.truncateBack()
	case n >= 37 && r.opts.ArchiveDir != "":
		return r.abandonTruncation() // And no reset: it gives up the history before it.
	case n < 39:
		return r.reopen()
	default:
		return r.reset()
	}
}

// append appends records, and notes them as handed over before and as acknowledged afterwards.
func (r *crashRun) append(n int) error {
	var batch [][]byte
	for range n {
		batch = append(batch, r.payload())
	}
	r.mu.Lock()
	r.expect.payloads = append(slices.Clip(r.expect.payloads), batch...)
	r.expect.lastMax += uint64(n)
	r.mu.Unlock()
	add := r.log.AppendBatch
	if n == 1 && r.rng.IntN(6) == 0 {
		add = func([][]byte) (uint64, error) { return appendPrepared(r.log, batch[0]) }
	}
	first, err := add(batch)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := first + uint64(n) - 1; last != r.expect.lastMax {
		r.fail("appended %d to %d, want up to %d", first, last, r.expect.lastMax)
	}
	r.noteDurable()
	return nil
}

// appendPrepared appends a record that is on the disk before it has an offset, but for its first bytes.
func appendPrepared(l *Log, payload []byte) (offset uint64, err error) {
	early := bytes.Clone(payload)
	for i := range early[:min(len(early), preparedHead)] {
		early[i]++
	}
	p, err := l.Prepare(early)
	if err != nil {
		return 0, err
	}
	defer p.Discard()
	if offset, _, err = l.SubmitPrepared(p, payload); err != nil {
		return 0, err
	}
	return offset, l.Wait(offset)
}

// noteDurable takes what the log calls durable for promised.
func (r *crashRun) noteDurable() {
	r.expect.lastMin, r.expect.acked = r.log.Durable(), r.log.Last()
	if r.opts.Sync == SyncAlways && r.log.Durable() != r.log.Last() {
		r.fail("%d acknowledged, %d durable", r.log.Last(), r.log.Durable())
	}
}

// payload makes a payload: text, nothing, zeros, noise, or a copy of frames that stand in the log.
func (r *crashRun) payload() []byte {
	size := r.rng.IntN(120)
	if r.rng.IntN(20) == 0 {
		size = r.rng.IntN(6000)
	}
	payload := make([]byte, size)
	switch r.rng.IntN(5) {
	case 0: // Zeros, which is what bytes look like that were never written.
	case 1:
		store := r.log.segments.active().store
		from := headSize + r.rng.Int64N(max(1, store.end-headSize))&^(frameAlign-1)
		n, _ := store.file.ReadAt(payload, from)
		clear(payload[n:])
		// Frames stand at multiples of eight, payloads four bytes after one: shift the copy so that it lines up.
		payload = append(make([]byte, 4), payload...)
	default:
		for i := range payload {
			payload[i] = byte(r.rng.Uint32())
		}
	}
	return payload
}

func (r *crashRun) sync() error {
	if err := r.log.Sync(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expect.lastMin = r.expect.lastMax
	return nil
}

func (r *crashRun) truncateFront() error {
	before := r.log.First()
	first := before + r.rng.Uint64N(r.log.Last()+2-before)
	after := before
	for _, segment := range r.log.Segments() {
		if segment.Base <= first {
			after = segment.Base
		}
	}
	r.setFirsts(before, after)
	err := r.log.TruncateFront(first)
	if err != nil && (!strings.HasPrefix(err.Error(), "archive segment") || r.rng.IntN(4) == 0) {
		return err
	}
	if err != nil {
		after = before // Nothing was truncated, and the log goes on, with some of it in the archive.
	}
	if err := r.log.writable(); err != nil || r.log.First() != after {
		r.fail("after a truncation before %d the log begins with %d, want %d (%v)", first, r.log.First(), after, err)
	}
	r.setFirsts(after)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteDurable()
	return nil
}

// abandonTruncation lets a truncation of the front fail somewhere, and then truncates the end: perhaps into segments that are
// in the archive already.
func (r *crashRun) abandonTruncation() error {
	r.mu.Lock()
	if r.inject = 1 + r.rng.IntN(8); r.rng.IntN(2) == 0 {
		r.inject = -1
	}
	r.mu.Unlock()
	if err := r.truncateFront(); err != nil {
		return err
	}
	r.mu.Lock()
	r.inject = 0
	r.mu.Unlock()
	return r.truncateBack()
}

func (r *crashRun) setFirsts(firsts ...uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expect.firsts = firsts
}

func (r *crashRun) truncateBack() error {
	first := r.log.First()
	last := first - 1 + r.rng.Uint64N(r.log.Last()+2-first)
	r.mu.Lock()
	r.expect.truncatedTo = last + 1
	r.mu.Unlock()
	if err := r.log.TruncateBack(last); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &r.expect
	e.truncatedTo = 0
	if last < e.lastMax {
		e.lastMin, e.lastMax, e.acked = last, last, last
		e.payloads = slices.Clip(e.payloads[:last+1])
	}
	return nil
}

// reset lets the log start over at any offset, once it has been emptied.
func (r *crashRun) reset() error {
	r.mu.Lock()
	r.expect.truncatedTo = r.log.First()
	r.mu.Unlock()
	if err := r.log.TruncateBack(r.log.First() - 1); err != nil {
		return err
	}
	before := r.log.First()
	after := 1 + r.rng.Uint64N(2*before+10)
	r.mu.Lock()
	e := &r.expect
	e.truncatedTo, e.lastMin, e.lastMax, e.acked = 0, 0, 0, 0
	e.firsts = []uint64{before, after}
	e.payloads = make([][]byte, max(before, after)) // A reset that fails may leave the log as it was.
	r.mu.Unlock()
	if err := r.log.Reset(after); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.firsts = []uint64{after}
	e.lastMin, e.lastMax, e.acked = after-1, after-1, after-1
	e.payloads = make([][]byte, after)
	return nil
}

// reopen closes the log, or lets the process end without that, and opens it again.
func (r *crashRun) reopen() error {
	if r.rng.IntN(3) == 0 {
		r.mu.Lock()
		r.disk = r.disk.Exit()
		r.disk.SetHook(r.call)
		r.opts.FS = r.disk
		r.mu.Unlock()
	} else if err := r.log.Close(); err != nil {
		return err
	}
	r.open()
	if r.log == nil {
		return errInjected
	}
	return nil
}

// runConcurrent is a workload of several appenders, whose records say themselves what they are.
func (r *crashRun) runConcurrent() {
	var appenders sync.WaitGroup
	for a := range uint64(2 + r.rng.IntN(3)) {
		appenders.Go(func() {
			for n := range uint64(12) {
				payload := describedPayload(a, n)
				r.mu.Lock()
				r.expect.lastMax++
				r.mu.Unlock()
				offset, err := r.log.Append(payload)
				if err != nil {
					r.fail("append: %v", err)
					return
				}
				r.mu.Lock()
				r.expect.acked = max(r.expect.acked, offset)
				r.expect.lastMin = max(r.expect.lastMin, r.log.Durable())
				if r.opts.Sync == SyncAlways && r.expect.lastMin < offset {
					r.fail("offset %d acknowledged, %d durable", offset, r.expect.lastMin)
				}
				r.expect.payloads = grown(r.expect.payloads, offset)
				r.expect.payloads[offset] = payload
				r.mu.Unlock()
			}
		})
	}
	appenders.Wait()
	r.crash()
}

// grown returns a copy of payloads that has room for an offset; others may still read the original.
func grown(payloads [][]byte, offset uint64) [][]byte {
	return append(slices.Clone(payloads), make([][]byte, max(0, int(offset)+1-len(payloads)))...)
}
