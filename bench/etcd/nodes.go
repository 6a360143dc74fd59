package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/walnutkv/walnut/internal/loopback"
)

// nodes are three walnutd on this machine, with the defaults, which serve the Redis protocol.
type nodes struct {
	processes
	addresses []string // For clients; the leader's is the first.
}

// startNodes starts them in a directory, and waits until each knows all of them.
func startNodes(program, dir string) (*nodes, error) {
	n := &nodes{}
	addresses, err := loopback.Addresses(3 * len(names))
	if err != nil {
		return n, err
	}
	listen, admin := addresses[:len(names)], addresses[len(names):2*len(names)]
	n.addresses = addresses[2*len(names):]
	for i, name := range names {
		if err := n.start(program,
			"--dir", filepath.Join(dir, name), "--cluster", "bench", "--id", name, "--listen", listen[i],
			"--join", strings.Join(listen, ","), "--bootstrap-expect", fmt.Sprint(len(names)), "--insecure",
			"--admin", admin[i], "--redis", n.addresses[i], "--log-level", "error"); err != nil {
			return n, err
		}
	}
	return n, n.waitForLeader()
}

// waitForLeader puts the leader's address first, once all nodes agree on which one it is, and know the others.
func (n *nodes) waitForLeader() error {
	for began := time.Now(); time.Since(began) < startLimit; time.Sleep(100 * time.Millisecond) {
		leaders := map[string]bool{}
		for _, address := range n.addresses {
			leaders[leaderOf(address)] = true
		}
		for i, address := range n.addresses {
			if len(leaders) == 1 && leaders[address] {
				n.addresses[0], n.addresses[i] = n.addresses[i], n.addresses[0]
				return nil
			}
		}
	}
	return fmt.Errorf("no node leads after %v", startLimit)
}

// leaderOf returns the leader's address as a node knows it; empty where it doesn't, or not the other nodes'.
func leaderOf(address string) string {
	client := connect(address, 1)
	defer func() { _ = client.Close() }()
	shards, err := client.ClusterShards(context.Background()).Result()
	if err != nil || len(shards) != 1 || len(shards[0].Nodes) != len(names) {
		return ""
	}
	for _, node := range shards[0].Nodes {
		if node.Role == "master" {
			return fmt.Sprintf("%s:%d", node.Endpoint, node.Port)
		}
	}
	return ""
}

// connect returns a client of one node: go-redis' plain one. Each of the goroutines that use it has a connection.
func connect(address string, clients int) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: address, PoolSize: clients})
}

// atTheLeader is the nodes with all clients at the leader.
func (n *nodes) atTheLeader() *system { return overRedis("walnutd", n.addresses[:1]) }

// spread is the nodes with the same number of clients at each: two of three are forwarded.
func (n *nodes) spread() *system { return overRedis("walnutd, at all nodes", n.addresses) }

func overRedis(name string, addresses []string) *system {
	return &system{name: name, connect: func(clients int) (puts []put, disconnect func(), err error) {
		var all []*redis.Client
		for _, address := range addresses {
			all = append(all, connect(address, (clients+len(addresses)-1)/len(addresses)))
		}
		for number := range clients {
			client := all[number%len(all)]
			puts = append(puts, func(ctx context.Context, key, value string) error { return client.Set(ctx, key, value, 0).Err() })
		}
		return puts, func() {
			for _, client := range all {
				_ = client.Close()
			}
		}, nil
	}}
}
