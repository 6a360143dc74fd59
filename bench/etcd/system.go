package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// system is what is measured: servers, and how clients reach them.
type system struct {
	name string
	// connect returns what each client puts a pair by, and a function that closes the connections.
	connect func(clients int) (puts []put, disconnect func(), err error)
}

// put puts a pair, and returns once it is durable.
type put func(ctx context.Context, key, value string) error

// line is what came of clients that put for a while.
type line struct {
	system  string
	clients int
	elapsed time.Duration
	times   []time.Duration // How long each put took, in order.
}

// rate is how many puts a second there were.
func (l *line) rate() float64 { return float64(len(l.times)) / l.elapsed.Seconds() }

// String shows the line as go test shows a benchmark's.
func (l *line) String() string {
	return fmt.Sprintf("%-22s clients=%-2d %8.0f puts/s %8d us/p50 %8d us/p99 %6d ms/longest", l.system, l.clients,
		l.rate(), l.times[len(l.times)/2].Microseconds(), l.times[len(l.times)*99/100].Microseconds(),
		l.times[len(l.times)-1].Milliseconds())
}

// measure lets clients put pairs of 16 and 100 bytes.
func (s *system) measure(clients int, limit time.Duration) (*line, error) {
	puts, disconnect, err := s.connect(clients)
	if err != nil {
		return nil, err
	}
	defer disconnect()
	times, failures := make([][]time.Duration, clients), make([]error, clients)
	var working sync.WaitGroup
	began := time.Now()
	for number := range clients {
		working.Go(func() { times[number], failures[number] = puts[number].repeat(number, clients, limit) })
	}
	working.Wait()
	l := &line{system: s.name, clients: clients, elapsed: time.Since(began), times: slices.Concat(times...)}
	slices.Sort(l.times)
	return l, errors.Join(failures...)
}

// repeat puts one pair after the other, and returns how long each took.
func (p put) repeat(number, clients int, limit time.Duration) (times []time.Duration, err error) {
	value := string(make([]byte, 100))
	for began, i := time.Now(), 0; time.Since(began) < limit; i++ {
		asked := time.Now()
		if err := p(context.Background(), fmt.Sprintf("%016d", i*clients+number), value); err != nil {
			return times, err
		}
		times = append(times, time.Since(asked))
	}
	return times, nil
}
