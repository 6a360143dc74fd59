package kv

import (
	"context"
	"errors"
	"iter"
)

// How an Update ends.
const (
	endsWell = iota
	endsWellInContext
	endsByError
	endsByPanic
	endsByContext
	endings
)

var errRandom = errors.New("what the function of an update returns")

// update runs a transaction that writes.
func (r *randomRun) update() {
	w := &randomUpdate{run: r, view: modelView{r.latest().clone(), r.ticks()}, ending: r.number("ending", endings-1)}
	steps := r.number("steps", 8)
	err := w.do(steps)
	w.requireOver()
	switch {
	case errors.Is(err, ErrFailed) && w.mutations == 0:
		r.require(r.accident.met(diskFailure), "failed without a reason: %v", err)
	case w.ending == endsByError || w.ending == endsByPanic:
		r.require(errors.Is(err, errRandom), "update returned %v", err)
	case w.ending == endsByContext:
		r.require(errors.Is(err, context.Canceled), "update returned %v", err)
	case w.mutations == 0:
		r.require(err == nil, "an update that writes nothing: %v", err)
	default:
		r.commit(w.view.state, r.db.Offset(), err)
		r.requireExpected(err, w.size, w.mutations)
	}
}

// randomUpdate is an Update of the model test. Its view is what the transaction has to see: its own writes are in it.
type randomUpdate struct {
	run        *randomRun
	tx         *Tx
	view       modelView
	ending     int
	mutations  int
	size       int
	iterations []*heldIteration
}

// do runs the transaction. A panic that was to be becomes the error errRandom. One that says that the run has failed goes
// on only outside of the store, whose frames differ from run to run: rapid knows a failure again by its frames.
func (w *randomUpdate) do(steps int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if w.ending != endsWellInContext && w.ending != endsByContext {
		ctx = context.Background()
	}
	var err error
	var failure any
	panicked := catch(func() {
		err = w.run.db.UpdateContext(ctx, func(tx *Tx) error {
			w.tx = tx
			failure = catch(func() { w.steps(steps) })
			return w.end(failure, cancel)
		})
	})
	switch {
	case failure != nil:
		panic(failure)
	case panicked == errRandom:
		return errRandom
	case panicked != nil:
		panic(panicked)
	}
	return err
}

// catch calls fn and returns what it panics with.
func catch(fn func()) (panicked any) {
	defer func() { panicked = recover() }()
	fn()
	return nil
}

func (w *randomUpdate) steps(steps int) {
	w.run.require(w.tx.Writable() && w.tx.Offset() == w.run.latest().offset, "update sees offset %d", w.tx.Offset())
	for range steps {
		w.step()
	}
}

// end ends the transaction's function.
func (w *randomUpdate) end(failure any, cancel func()) error {
	switch {
	case failure != nil || w.ending == endsByError:
		return errRandom
	case w.ending == endsByPanic:
		panic(errRandom)
	case w.ending == endsByContext:
		cancel()
	}
	return nil
}

func (w *randomUpdate) step() {
	switch w.run.number("step", 9) {
	case 0, 2, 3:
		w.mutate(w.run.drawMutation())
	case 4:
		w.mutateMany()
	case 5:
		w.mutateWhileIterating()
	case 6:
		w.iterate()
	case 7:
		w.nest()
	default:
		w.run.requireRead(w.tx, w.view)
	}
}

func (w *randomUpdate) mutate(m modelMutation) {
	err := m.write(w.tx)
	w.run.requireExpected(err, w.size+m.size(), w.mutations+1)
	if err == nil {
		w.view.state.apply(m)
		w.size += m.size()
		w.mutations++
	}
}

// mutateMany writes to neighbours, at times so many that the transaction makes a tree of its own.
func (w *randomUpdate) mutateMany() {
	from, many := w.run.drawKey(), w.run.number("many", modelKeyCount)
	w.run.serial++
	value := w.run.serial * valueShapes // The shortest shape.
	for key := from; key < min(modelKeyCount, from+many); key++ {
		w.mutate(modelMutation{kind: MutationPut, key: key, value: value})
	}
}

// mutateWhileIterating writes before each step of an iteration, which must show the state that it began with.
func (w *randomUpdate) mutateWhileIterating() {
	began := modelView{w.view.state.clone(), w.view.now}
	drawn, most := w.run.drawRange(), w.run.number("writes", 5)
	scan := func(yield func(key, value []byte) bool) {
		for key, value := range w.tx.Scan(drawn) {
			if most > 0 {
				w.mutate(w.run.drawMutation())
				most--
			}
			if !yield(key, value) {
				return
			}
		}
	}
	difference := began.disagreement(scan, drawn)
	w.run.require(difference == "", "an iteration beside writes over %+v: %s", drawn, difference)
}

// iterate begins an iteration, or goes on with one that began before other writes. Some are still under way when the
// transaction ends.
func (w *randomUpdate) iterate() {
	at := w.run.number("iteration", len(w.iterations))
	if at == len(w.iterations) {
		drawn, view := w.run.drawRange(), modelView{w.view.state.clone(), w.view.now}
		began := &heldIteration{view: view, want: view.state.matching(nil, drawn, view.now)}
		began.next, began.stop = iter.Pull2(w.tx.Scan(drawn))
		w.iterations = append(w.iterations, began)
	}
	for range 1 + w.run.number("pairs", 3) {
		w.run.requireNext(w.iterations[at])
	}
}

// nest calls the store itself, which shows what is visible.
func (w *randomUpdate) nest() {
	w.run.get()
	w.run.require(errors.Is(w.tx.Put(nil, nil), ErrEmptyKey), "an empty key in an update")
}

// requireOver requires that the transaction is of no use once its function has ended.
func (w *randomUpdate) requireOver() {
	for _, iteration := range w.iterations {
		_, _, more := iteration.next()
		w.run.require(!more, "an iteration goes on after its transaction")
		iteration.stop()
	}
	if w.tx == nil {
		return // The store had failed, so the function was never called.
	}
	_, err := w.tx.Get(modelKeys[0])
	w.run.require(errors.Is(err, ErrTxDone), "get after the transaction: %v", err)
	w.run.require(errors.Is(w.tx.Delete(modelKeys[0]), ErrTxDone), "delete after the transaction")
	_, err = w.tx.Count(Range{})
	w.run.require(errors.Is(err, ErrTxDone), "count after the transaction: %v", err)
}
