package main

import (
	"context"
	"io"
)

// stoppable is a stream whose reads and writes end with a context, also while the system call does not: a pipe that another
// program leaves alone would otherwise hold an interrupted command. The call that is given up goes on in its goroutine until
// the process ends, with its own memory.
type stoppable struct {
	ctx   context.Context
	stdin io.Reader
	out   io.Writer

	chunk []byte // Read and not handed out yet.
	err   error  // Follows chunk.
}

// transfer is what became of a system call.
type transfer struct {
	data []byte
	n    int
	err  error
}

// Read reads from stdin.
func (s *stoppable) Read(p []byte) (int, error) {
	if len(s.chunk) == 0 && s.err == nil {
		done := s.do(func() transfer {
			data := make([]byte, 64<<10)
			n, err := s.stdin.Read(data)
			return transfer{data[:n], n, err}
		})
		s.chunk, s.err = done.data, done.err
	}
	n := copy(p, s.chunk)
	s.chunk = s.chunk[n:]
	if len(s.chunk) == 0 && s.err != nil {
		return n, s.err
	}
	return n, nil
}

// Write writes to out.
func (s *stoppable) Write(p []byte) (int, error) {
	own := append([]byte{}, p...)
	done := s.do(func() transfer {
		n, err := s.out.Write(own)
		return transfer{n: n, err: err}
	})
	return done.n, done.err
}

// do makes a system call in a goroutine and waits for it or for the context.
func (s *stoppable) do(call func() transfer) transfer {
	if err := s.ctx.Err(); err != nil {
		return transfer{err: err}
	}
	done := make(chan transfer, 1)
	go func() { done <- call() }()
	select {
	case did := <-done:
		return did
	case <-s.ctx.Done():
		return transfer{err: s.ctx.Err()}
	}
}
