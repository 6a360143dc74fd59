package kv

import (
	"context"
	"reflect"
	"runtime"
	"sync/atomic"
)

// nesting finds out whether a caller runs inside an Update of the same store, and would wait for himself.
//
// Go tells a goroutine no name of its own that could be remembered cheaply, but it shows a goroutine its own stack. So the
// function of an Update is called through a chain of frames that spell the store's number in binary: bitOne and bitZero,
// the lowest bit outermost, and markEnd innermost. The chain costs some nanoseconds. It is read only by those who find the
// store's lock taken while the function of an Update runs, theirs or another's.
type nesting struct {
	number  uint64      // Of this store among all that the process has opened; 1 or more.
	running atomic.Bool // The function of an Update runs.
}

var storesOpened atomic.Uint64

// run calls the function of an Update. The caller holds the store's lock.
func (n *nesting) run(tx *Tx, fn func(tx *Tx) error) error {
	n.running.Store(true)
	defer n.running.Store(false)
	return mark(n.number, tx, fn)
}

// mark calls fn through the frames that spell a number.
func mark(number uint64, tx *Tx, fn func(tx *Tx) error) error {
	switch {
	case number == 0:
		return markEnd(tx, fn)
	case number&1 == 0:
		return bitZero(number>>1, tx, fn)
	}
	return bitOne(number>>1, tx, fn)
}

//go:noinline
func bitZero(rest uint64, tx *Tx, fn func(tx *Tx) error) error { return mark(rest, tx, fn) }

//go:noinline
func bitOne(rest uint64, tx *Tx, fn func(tx *Tx) error) error { return mark(rest, tx, fn) }

//go:noinline
func markEnd(tx *Tx, fn func(tx *Tx) error) error { return fn(tx) }

// nested reports whether the caller runs inside the function of an Update of this store. A goroutine or a coroutine that
// such a function has started is another caller: its stack is its own.
func (n *nesting) nested() bool {
	if !n.running.Load() || !insideUpdate() {
		return false
	}
	var number uint64
	for name := range callers {
		switch name {
		case nameMarkEnd:
			number = 0
		case nameBitZero:
			number <<= 1
		case nameBitOne:
			number = number<<1 | 1
		case nameRun:
			if number == n.number {
				return true
			}
		}
	}
	return false
}

// The names by which the frames of a chain are known.
var (
	nameRun     = functionName((*nesting).run)
	nameBitZero = functionName(bitZero)
	nameBitOne  = functionName(bitOne)
	nameMarkEnd = functionName(markEnd)
)

func functionName(function any) string {
	return runtime.FuncForPC(reflect.ValueOf(function).Pointer()).Name()
}

// insideUpdate reports whether any store's Update is on the goroutine's stack. It asks for no names, which is an order of
// magnitude cheaper, and is all that has to be asked where goroutines are merely in each other's way.
func insideUpdate() bool {
	for pcs := range stack {
		for _, pc := range pcs {
			if markEndFrom <= pc && pc < markEndTo {
				return true
			}
		}
	}
	return false
}

// Where the code of markEnd is.
var markEndFrom, markEndTo = codeOf(markEnd)

func codeOf(function any) (from, to uintptr) {
	from = reflect.ValueOf(function).Pointer()
	for to = from; runtime.FuncForPC(to) != nil && runtime.FuncForPC(to).Entry() == from; to++ {
	}
	return from, to
}

// callers yields the names of the functions on the goroutine's stack, innermost first.
func callers(yield func(name string) bool) {
	for pcs := range stack {
		frames := runtime.CallersFrames(pcs)
		for more := true; more; {
			var frame runtime.Frame
			if frame, more = frames.Next(); !yield(frame.Function) {
				return
			}
		}
	}
}

// stack yields the goroutine's stack in parts, innermost first.
func stack(yield func(pcs []uintptr) bool) {
	var pcs [64]uintptr
	for skip := 0; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		if n == 0 || !yield(pcs[:n]) || n < len(pcs) {
			return
		}
	}
}

// lockTries is how often a caller lets others run and looks again before he queues for the lock. Most commits are over by
// then, and most functions of an Update, whose end saves him from reading his stack. A sync.Mutex wakes one of those who
// queue and lets others overtake him until he runs. Where there are more goroutines than processors that is late, and may
// happen to the same one again and again, for 60 to 100 ms; those who let others run take turns instead. With 16 writers
// and 2 processors the longest put took a third of the time at the same rate (docs/performance.md). More tries cost rate.
const lockTries = 2

// acquire takes mu, and gives up when ctx is done. The error is ctx's or ErrNested.
func (db *DB) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if db.mu.TryLock() {
		return nil
	}
	for range lockTries {
		runtime.Gosched()
		if db.mu.TryLock() {
			return nil
		}
	}
	if db.nesting.nested() {
		return ErrNested
	}
	return db.lockContext(ctx)
}

// lockContext waits for mu until ctx is done.
func (db *DB) lockContext(ctx context.Context) error {
	if ctx.Done() == nil {
		db.mu.Lock()
		return nil
	}
	// A lock can't be waited for with a context. So somebody else waits, and gives the lock back if nobody takes it.
	locked := make(chan struct{})
	go func() {
		db.mu.Lock()
		select {
		case locked <- struct{}{}:
		case <-ctx.Done():
			db.mu.Unlock()
		}
	}()
	select {
	case <-locked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
