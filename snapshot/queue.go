package snapshot

// queue runs work on values in goroutines, a bounded number of them, and hands the values back in the order in which they
// were given. It belongs to one goroutine.
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

// full reports whether as many are running as should.
func (q *queue[T]) full() bool { return len(q.running) >= q.limit }

func (q *queue[T]) empty() bool { return len(q.running) == 0 }

// next waits for the oldest value.
func (q *queue[T]) next() T {
	oldest := q.running[0]
	q.running = q.running[1:]
	<-oldest.done
	return oldest.value
}

// wait waits for all values and drops them, so that no goroutine outlives whoever started it.
func (q *queue[T]) wait() {
	for !q.empty() {
		q.next()
	}
}

// takeFree takes a block from a list of those that may be used again, or makes one.
func takeFree[T any](free *[]*T) *T {
	last := len(*free) - 1
	if last < 0 {
		return new(T)
	}
	b := (*free)[last]
	*free = (*free)[:last]
	return b
}
