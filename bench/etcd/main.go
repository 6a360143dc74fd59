// Command etcd measures durable puts of three etcd members on this machine, beside which docs/measured/replication.md puts those of a
// cluster of Walnut. It is in a module of its own, as etcd's client brings many others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	program := flag.String("etcd", "etcd", "the server's `program`: Debian has it in etcd-server")
	limit := flag.Duration("for", 5*time.Second, "how long the clients of each line put")
	rounds := flag.Int("rounds", 1, "how many lines there are for each number of clients")
	flag.Parse()
	if err := run(*program, *limit, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

func run(program string, limit time.Duration, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		return err
	}
	members, err := start(program, dir)
	defer func() { err = errors.Join(err, members.end(), os.RemoveAll(dir)) }()
	if err != nil {
		return err
	}
	leader, err := members.leader()
	if err != nil {
		return err
	}
	for range rounds {
		for _, clients := range []int{1, 16, 64} {
			if err := measure(leader, clients, limit); err != nil {
				return err
			}
		}
	}
	return nil
}

// clientsOfOne is how many clients share a connection: with one for all, or one for each, there are fewer puts.
const clientsOfOne = 4

// measure lets clients put pairs of 16 and 100 bytes on the leader, and prints what came of it.
func measure(leader string, clients int, limit time.Duration) error {
	var conns []*clientv3.Client
	for range (clients + clientsOfOne - 1) / clientsOfOne {
		conn, err := clientv3.New(clientv3.Config{Endpoints: []string{leader}, DialTimeout: 5 * time.Second})
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		conns = append(conns, conn)
	}
	times, failures := make([][]time.Duration, clients), make([]error, clients)
	var working sync.WaitGroup
	began := time.Now()
	for number := range clients {
		working.Go(func() {
			times[number], failures[number] = put(conns[number/clientsOfOne], number, clients, limit)
		})
	}
	working.Wait()
	elapsed := time.Since(began)
	if err := errors.Join(failures...); err != nil {
		return err
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	fmt.Printf("etcd clients=%d %8.0f puts/s %8d us/p50 %8d us/p99 %6d ms/longest\n", clients, float64(len(all))/elapsed.Seconds(),
		all[len(all)/2].Microseconds(), all[len(all)*99/100].Microseconds(), all[len(all)-1].Milliseconds())
	return nil
}

// put puts one pair after the other, and returns how long each took.
func put(conn *clientv3.Client, number, clients int, limit time.Duration) (times []time.Duration, err error) {
	value := string(make([]byte, 100))
	for began, i := time.Now(), 0; time.Since(began) < limit; i++ {
		asked := time.Now()
		if _, err := conn.Put(context.Background(), fmt.Sprintf("%016d", i*clients+number), value); err != nil {
			return times, err
		}
		times = append(times, time.Since(asked))
	}
	return times, nil
}
