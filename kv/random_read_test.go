package kv

import (
	"errors"
	"iter"
)

// randomReader is what a Tx and a ReadView have in common.
type randomReader interface {
	scanner
	Get(key []byte) ([]byte, error)
	Has(key []byte) (bool, error)
	Count(r Range) (int, error)
	First(r Range) (key, value []byte, err error)
	Last(r Range) (key, value []byte, err error)
	Offset() uint64
}

// get reads one key from the store.
func (r *randomRun) get() {
	key := r.drawKey()
	value, err := r.db.Get(modelKeys[key])
	r.requireGot(r.seen(), key, value, err)
}

// requireGot requires a Get's outcome to be what a view has.
func (r *randomRun) requireGot(view modelView, key int, value []byte, err error) {
	if !view.state.cells[key].visible(view.now) {
		r.require(errors.Is(err, ErrNotFound), "get %q: %q, %v, want none", modelKeys[key], value, err)
		return
	}
	r.require(err == nil && view.agrees(key, modelKeys[key], value), "get %q: %q, %v, want %s", modelKeys[key], value, err, view.text(key))
}

func (r *randomRun) scan() { r.requireScan(r.db, r.seen()) }

// scanner is whatever can be scanned.
type scanner interface {
	Scan(r Range) iter.Seq2[[]byte, []byte]
}

func (r *randomRun) requireScan(from scanner, view modelView) {
	drawn := r.drawRange()
	difference := view.disagreement(from.Scan(drawn), drawn)
	r.require(difference == "", "scan of %+v at offset %d: %s", drawn, view.state.offset, difference)
}

// requireShown requires that all pairs are there, and no other.
func (r *randomRun) requireShown(from scanner, view modelView, says string) {
	difference := view.disagreement(from.Scan(Range{}), Range{})
	r.require(difference == "", "%s, at offset %d: %s", says, view.state.offset, difference)
}

// requireAll requires that an open store shows what it has to now.
func (r *randomRun) requireAll(db *DB, says string) { r.requireShown(db, r.seen(), says) }

// requireRead reads in one of the ways there are.
func (r *randomRun) requireRead(from randomReader, view modelView) {
	switch r.number("read", 4) {
	case 0:
		key := r.drawKey()
		value, err := from.Get(modelKeys[key])
		r.requireGot(view, key, value, err)
	case 1:
		r.requireScan(from, view)
	case 2:
		drawn := r.drawRange()
		want := len(view.state.matching(nil, drawn, view.now))
		count, err := from.Count(drawn)
		r.require(err == nil && count == want, "count of %+v: %d, %v, want %d", drawn, count, err, want)
	case 3:
		r.requireEdges(from, view)
	case 4:
		key := r.drawKey()
		has, err := from.Has(modelKeys[key])
		r.require(err == nil && has == view.state.cells[key].visible(view.now), "has %q: %v, %v", modelKeys[key], has, err)
	}
}

func (r *randomRun) requireEdges(from randomReader, view modelView) {
	drawn := r.drawRange()
	all := drawn
	all.Reverse, all.Limit = false, 0
	want := view.state.matching(nil, all, view.now)
	firstKey, firstValue, err := from.First(drawn)
	lastKey, lastValue, lastErr := from.Last(drawn)
	if len(want) == 0 {
		r.require(errors.Is(err, ErrNotFound) && errors.Is(lastErr, ErrNotFound), "first and last of %+v: %v, %v", drawn, err, lastErr)
		return
	}
	r.require(err == nil && lastErr == nil, "first and last of %+v: %v, %v, of %d pairs", drawn, err, lastErr, len(want))
	r.require(view.agrees(want[0], firstKey, firstValue), "first of %+v: %q=%q, want %s", drawn, firstKey, firstValue, view.text(want[0]))
	last := want[len(want)-1]
	r.require(view.agrees(last, lastKey, lastValue), "last of %+v: %q=%q, want %s", drawn, lastKey, lastValue, view.text(last))
}

// view runs a transaction that reads, and commits while it is open: it must go on showing what it showed.
func (r *randomRun) view() {
	view := r.seen()
	returned := []error{nil, errRandom}[r.number("returns", 1)]
	err := r.db.View(func(tx *Tx) error {
		for range r.number("reads", 5) {
			r.require(tx.Offset() == view.state.offset, "view at offset %d, want %d", tx.Offset(), view.state.offset)
			r.requireRead(tx, view)
			if r.number("between", 3) == 3 && !r.accident.happened() {
				r.put()
				r.now.Add(1)
			}
		}
		r.require(errors.Is(tx.Put(modelKeys[0], nil), ErrTxReadOnly), "a write in a view")
		return returned
	})
	r.require(errors.Is(err, returned), "view returned %v", err)
}

// heldMost is how many views, and how many iterations, a run holds at a time.
const heldMost = 5

// heldState is a view that is held across operations, and across ends of the store.
type heldState struct {
	*ReadView
	of   *DB
	view modelView
}

func (r *randomRun) hold() {
	view, err := r.db.ReadView()
	if err != nil {
		r.Fatal(err)
	}
	r.held = append(r.held, &heldState{view, r.db, r.seen()})
	if len(r.held) > heldMost {
		r.letGo()
	}
}

// look compares one of the views held with what it showed when it was taken.
func (r *randomRun) look() {
	if len(r.held) == 0 {
		return
	}
	held := r.held[r.number("view", len(r.held)-1)]
	r.require(held.Offset() == held.view.state.offset, "view at offset %d, want %d", held.Offset(), held.view.state.offset)
	r.requireRead(held, held.view)
	if r.number("all of it", 3) == 3 {
		r.requireShown(held, held.view, "a view")
	}
}

func (r *randomRun) letGo() {
	if len(r.held) == 0 {
		return
	}
	i := r.number("view", len(r.held)-1)
	held := r.held[i]
	r.held = append(r.held[:i], r.held[i+1:]...)
	err := errors.Join(held.Close(), held.Close())
	r.require(err == nil, "closing a view: %v", err)
	_, err = held.Get(modelKeys[0])
	r.require(errors.Is(err, ErrTxDone) && held.Offset() == 0, "a closed view: %v", err)
}

// heldIteration is an iteration that stands still between operations.
type heldIteration struct {
	view modelView
	want []int // The keys that are still to come.
	next func() ([]byte, []byte, bool)
	stop func()
}

// iterate begins an iteration, over the store or over a held view. It is of the moment of its first step.
func (r *randomRun) iterate() {
	drawn, view, from := r.drawRange(), r.seen(), scanner(r.db)
	if len(r.held) > 0 && r.number("of a view", 2) == 2 {
		held := r.held[r.number("view", len(r.held)-1)]
		view, from = held.view, held
	}
	began := &heldIteration{view: view, want: view.state.matching(nil, drawn, view.now)}
	began.next, began.stop = iter.Pull2(from.Scan(drawn))
	r.iterations = append(r.iterations, began)
	r.advanceOne(len(r.iterations) - 1)
	if len(r.iterations) > heldMost {
		r.iterations[0].stop()
		r.iterations = r.iterations[1:]
	}
}

// advance takes some steps in one of the iterations.
func (r *randomRun) advance() {
	if len(r.iterations) == 0 {
		return
	}
	i := r.number("iteration", len(r.iterations)-1)
	for range 1 + r.number("pairs", 20) {
		if !r.advanceOne(i) {
			return
		}
	}
}

// advanceOne takes a step, and reports whether there may be another.
func (r *randomRun) advanceOne(i int) bool {
	if r.requireNext(r.iterations[i]) {
		return true
	}
	r.iterations[i].stop()
	r.iterations = append(r.iterations[:i], r.iterations[i+1:]...)
	return false
}

// requireNext takes a step, which must yield what it has to, and reports whether it was none past the end.
func (r *randomRun) requireNext(iteration *heldIteration) bool {
	key, value, more := iteration.next()
	r.require(more == (len(iteration.want) > 0), "an iteration of offset %d has more: %v, with %d to come",
		iteration.view.state.offset, more, len(iteration.want))
	if more {
		want := iteration.want[0]
		iteration.want = iteration.want[1:]
		r.require(iteration.view.agrees(want, key, value), "an iteration of offset %d yields %q=%q, want %s",
			iteration.view.state.offset, key, value, iteration.view.text(want))
	}
	return more
}

// stats compares what the store says of itself.
func (r *randomRun) stats() {
	stats, view, held, visible, all := r.db.Stats(), r.seen(), 0, 0, 0
	for _, view := range r.held {
		if view.of == r.db {
			held++
		}
	}
	for _, cell := range view.state.cells {
		if cell.value != 0 {
			all++
		}
		if cell.visible(view.now) {
			visible++
		}
	}
	r.require(stats.OpenViews == held, "%d views open, want %d", stats.OpenViews, held)
	r.require(visible <= stats.Keys && stats.Keys+stats.Expired <= all, "%d keys and %d expired, want %d to %d",
		stats.Keys, stats.Expired, visible, all)
	r.require(stats.Visible == view.state.offset, "visible %d, want %d", stats.Visible, view.state.offset)
	r.require(r.durable.Load() <= stats.Durable && stats.Durable <= view.state.offset, "durable %d, promised %d", stats.Durable, r.durable.Load())
	r.require(stats.Failed == nil || r.accident.met(diskFailure), "failed: %v", stats.Failed)
}

// readOnly opens the store a second time, beside the writer, for reading.
func (r *randomRun) readOnly() {
	opts := r.opts
	opts.ReadOnly = true
	db, err := Open(storeDir, opts)
	if err != nil && r.accident.met(diskFailure) {
		return // It was the reader's sync that failed.
	}
	if err != nil {
		r.Fatalf("read-only: %v", err)
	}
	view := r.seen()
	r.require(db.Offset() == view.state.offset, "read-only at offset %d, want %d", db.Offset(), view.state.offset)
	r.requireScan(db, view)
	r.requireAll(db, "read-only")
	_, err = db.Put(modelKeys[0], nil)
	r.require(errors.Is(err, ErrReadOnly), "a put in a read-only store: %v", err)
	r.require(db.Close() == nil, "closing a read-only store")
}
