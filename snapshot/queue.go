package snapshot

// queue runs work on values in a bounded number of goroutines, and returns the values in the order in which their work was
// started. It belongs to one goroutine.
type queue[T any] struct {
	limit   int
	running []task[T] // In the order of their start.
}

type task[T any] struct {
	value T
	done  chan struct{}
}

// start begins work on a value.
func (q *queue[T]) start(value T, work func()) {
	done := make(chan struct{})
	q.running = append(q.running, task[T]{value, done})
	go func() {
		defer close(done)
		work()
	}()
}

// full reports whether the limit is reached.
func (q *queue[T]) full() bool { return len(q.running) >= q.limit }

func (q *queue[T]) empty() bool { return len(q.running) == 0 }

// next waits for the work on the oldest value and returns the value.
func (q *queue[T]) next() T {
	oldest := q.running[0]
	q.running = q.running[1:]
	<-oldest.done
	return oldest.value
}

// wait waits for all work and drops the values, so that no goroutine outlives the call that started it.
func (q *queue[T]) wait() {
	for !q.empty() {
		q.next()
	}
}

// takeFree takes a block from the list of blocks to reuse, or makes one.
func takeFree[T any](free *[]*T) *T {
	last := len(*free) - 1
	if last < 0 {
		return new(T)
	}
	b := (*free)[last]
	*free = (*free)[:last]
	return b
}
