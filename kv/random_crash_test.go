package kv

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/walnutkv/walnut/internal/vfs"
)

// accidentKind is what happens to a disk or a process.
type accidentKind int

const (
	noAccident accidentKind = iota
	processDeath
	powerCut
	diskFailure
)

// aftermath is what an accident left, and the last offsets that had been promised when it happened: to survive a power
// cut, and to survive the death of the process.
type aftermath struct {
	kind                  accidentKind
	disk                  *vfs.Mem
	durable, acknowledged uint64
}

// accident is something that will happen at one of the next calls that change the disk, in the middle of an operation.
// A power cut or a death leaves a copy of the disk, and the operation goes on in a world that is no more; a failed call
// leaves an operation that may return an error.
type accident struct {
	unknown *modelState // Of a commit whose outcome is not known because of it; nil if there is none.

	mu       sync.Mutex // Guards all below: calls come from any goroutine.
	disk     *vfs.Mem   // Whose calls count. Those of a disk that was given up don't.
	kind     accidentKind
	calls    int  // Until it happens; 0 when it has.
	anywhere bool // The calls of a store's background count too, so that a replay may take another course.
	strike   func(kind accidentKind) aftermath
	left     aftermath
}

// arm makes something happen at one of the next calls, unless something will already.
func (a *accident) arm(kind accidentKind, calls int, anywhere bool, strike func(kind accidentKind) aftermath) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kind == noAccident {
		a.kind, a.calls, a.anywhere, a.strike = kind, calls, anywhere, strike
	}
}

// disarm calls it off, and reports whether that came too late.
func (a *accident) disarm() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls > 0 {
		a.kind, a.calls = noAccident, 0
	}
	return a.kind != noAccident
}

// face returns what has happened, and lets the next accident come.
func (a *accident) face() (aftermath, *modelState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left, unknown := a.left, a.unknown
	a.kind, a.left, a.unknown = noAccident, aftermath{}, nil
	return left, unknown
}

// call is what happens at a call of a disk.
func (a *accident) call(disk *vfs.Mem, c vfs.Call) error {
	if !c.Op.Changes() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls == 0 || disk != a.disk || !a.anywhere && !insideRandomRun() {
		return nil
	}
	if a.calls--; a.calls > 0 {
		return nil
	}
	if a.kind == diskFailure {
		a.left.kind = diskFailure
		return errDisk
	}
	a.left = a.strike(a.kind)
	return nil
}

// insideRandomRun reports whether the caller is a run's own goroutine.
func insideRandomRun() bool {
	var pcs [256]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, ".runRandomOperations") {
			return true
		}
		if !more {
			return false
		}
	}
}

// happened reports whether it has happened and isn't faced yet.
func (a *accident) happened() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kind != noAccident && a.calls == 0
}

// met reports whether it was of that kind.
func (a *accident) met(kind accidentKind) bool { return a.happened() && a.kind == kind }

// prepareAccident lets something happen soon.
func (r *randomRun) prepareAccident() {
	kind := accidentKind(r.number("accident", 2)) + processDeath
	calls, anywhere := 1+r.number("calls", 30), r.number("anywhere", 3) == 3
	r.accident.arm(kind, calls, anywhere, r.drawStrike())
}

// drawStrike draws what a power cut leaves. The promises are read before the disk is, since commits may go on meanwhile.
func (r *randomRun) drawStrike() func(accidentKind) aftermath {
	policy, seed := vfs.Policies[r.number("policy", len(vfs.Policies)-1)], uint64(r.number("seed", 1<<20))
	return func(kind accidentKind) aftermath {
		left := aftermath{kind: kind, durable: r.durable.Load(), acknowledged: r.acknowledged.Load()}
		if kind == processDeath {
			left.disk = r.mem.Exit()
			return left
		}
		left.acknowledged = left.durable
		left.disk = r.mem.Crash(seed, policy)
		return left
	}
}

func (r *randomRun) clockNow() time.Time { return clockTime(r.ticks()) }

// open opens the store under options that it draws, and makes what it finds the only state of the history.
func (r *randomRun) open() {
	r.opts = Options{
		fs:            r.mem,
		Sync:          SyncMode(r.number("sync mode", 2)),
		SyncInterval:  []time.Duration{time.Hour, time.Millisecond}[r.number("interval", 1)],
		SegmentSize:   []int64{4 << 10, 4<<10 + 1, 5000, 16 << 10}[r.number("segment size", 3)],
		MaxCommitSize: []int{0, 0, 0, 4000, 300}[r.number("commit size", 4)],
		SnapshotsKept: 1 + r.number("snapshots kept", 2),

		CheckpointFactor:  []float64{-1, -1, 0.1}[r.number("checkpoint factor", 2)],
		CheckpointFloor:   3000,
		CheckpointOnClose: r.number("checkpoint on close", 3) == 0,

		Clock: r.clockNow, sweepByHand: true,
	}
	db, err := Open(storeDir, r.opts)
	if r.accident.happened() {
		r.require(err == nil || r.accident.met(diskFailure), "open: %v", err)
		r.db = nil // What it shows is not what the run goes on with.
		if err == nil {
			r.requirePossible(db)
			defer func() { _ = db.Close() }()
		}
		r.recover()
		return
	}
	if err != nil {
		r.Fatalf("open: %v", err)
	}
	r.db = db
	state := r.requirePossible(db)
	r.states = []*modelState{state}
	r.durable.Store(state.offset)
	r.acknowledged.Store(state.offset)
}

// requirePossible requires that a store which was just opened shows a state of the history, from the last that was acknowledged on, and
// returns it.
func (r *randomRun) requirePossible(db *DB) *modelState {
	offset, least, newest := db.Offset(), r.acknowledged.Load(), r.latest().offset
	r.require(least <= offset && offset <= newest, "recovered offset %d, want %d to %d", offset, least, newest)
	state := r.states[offset-r.states[0].offset]
	r.requireShown(db, modelView{state, r.ticks()}, "recovered")
	return state
}

// reopen closes the store and opens it again.
func (r *randomRun) reopen() {
	err := r.db.Close()
	if r.accident.happened() {
		r.require(err == nil || r.accident.met(diskFailure), "close: %v", err)
		r.recover()
		return
	}
	r.require(err == nil && r.db.Close() == nil, "close: %v", err)
	_, err = r.db.Get(modelKeys[0])
	r.require(errors.Is(err, ErrClosed), "get from a closed store: %v", err)
	r.durable.Store(r.latest().offset)
	r.open()
}

func (r *randomRun) powerCut() { r.goOn(r.drawStrike()(powerCut)) }

func (r *randomRun) death() { r.goOn(r.drawStrike()(processDeath)) }

// recover faces an accident that happened in the middle of an operation. A failed call is followed by the end of the
// process or a power cut.
func (r *randomRun) recover() {
	left, unknown := r.accident.face()
	r.tally[[...]string{processDeath: "met death", powerCut: "met power cut", diskFailure: "met failure"}[left.kind]]++
	if left.kind == diskFailure {
		if r.db != nil && r.db.Offset() != 0 {
			r.requireAll(r.db, "after a failure")
		}
		left = r.drawStrike()(processDeath + accidentKind(r.number("then", 1)))
		if unknown != nil {
			r.states = append(r.states, unknown)
		}
	}
	r.goOn(left)
}

// goOn gives the present store up and opens what is left of it.
func (r *randomRun) goOn(left aftermath) {
	r.moveTo(left)
	if r.db != nil {
		_ = r.db.Close()
	}
	r.open()
}

// moveTo makes what an accident left the run's disk.
func (r *randomRun) moveTo(left aftermath) {
	r.accident.mu.Lock()
	defer r.accident.mu.Unlock()
	r.mem, r.accident.disk = left.disk, left.disk
	r.durable.Store(left.durable)
	r.acknowledged.Store(left.acknowledged)
	r.mem.SetCapacity(0)
	r.mem.SetHook(func(c vfs.Call) error { return r.accident.call(left.disk, c) })
}

// requireSound checks the closed store as a whole.
func (r *randomRun) requireSound() {
	r.require(r.db.Close() == nil, "close")
	violations, err := Check(context.Background(), storeDir, r.opts)
	r.require(err == nil, "check: %v", err)
	for _, violation := range violations {
		r.require(!violation.Damage, "check: %+v", violation)
	}
}
