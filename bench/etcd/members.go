package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/walnutkv/walnut/internal/loopback"
)

// members are three etcd servers on this machine, with the defaults.
type members struct {
	processes
	endpoints []string
	leader    string // Its endpoint.
}

// startMembers starts them in a directory, and waits until one leads.
func startMembers(program, dir string) (*members, error) {
	m := &members{}
	addresses, err := loopback.Addresses(2 * len(names))
	if err != nil {
		return m, err
	}
	var peers []string
	for i := range addresses {
		addresses[i] = "http://" + addresses[i]
	}
	m.endpoints = addresses[:len(names)]
	urls := addresses[len(names):]
	for i, name := range names {
		peers = append(peers, name+"="+urls[i])
	}
	for i, name := range names {
		if err := m.start(program,
			"--name", name, "--data-dir", filepath.Join(dir, name),
			"--listen-client-urls", m.endpoints[i], "--advertise-client-urls", m.endpoints[i],
			"--listen-peer-urls", urls[i], "--initial-advertise-peer-urls", urls[i],
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-state", "new", "--log-level", "error"); err != nil {
			return m, err
		}
	}
	return m, m.waitForLeader()
}

// waitForLeader finds the leader's endpoint, as soon as there is one.
func (m *members) waitForLeader() error {
	client, err := clientv3.New(clientv3.Config{Endpoints: m.endpoints, DialTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	var last error
	for began := time.Now(); time.Since(began) < startLimit; time.Sleep(100 * time.Millisecond) {
		for _, endpoint := range m.endpoints {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			status, err := client.Status(ctx, endpoint)
			cancel()
			if err == nil && status.Leader == status.Header.MemberId {
				m.leader = endpoint
				return nil
			}
			last = err
		}
	}
	return fmt.Errorf("no member leads: %w", last)
}

// clientsOfOne is how many clients share a connection: with one for all, or one for each, there are fewer puts.
const clientsOfOne = 4

// system is the members with all clients at the leader.
func (m *members) system() *system {
	return &system{name: "etcd", connect: func(clients int) (puts []put, disconnect func(), err error) {
		var conns []*clientv3.Client
		disconnect = func() {
			for _, conn := range conns {
				_ = conn.Close()
			}
		}
		for number := range clients {
			if number%clientsOfOne == 0 {
				conn, err := clientv3.New(clientv3.Config{Endpoints: []string{m.leader}, DialTimeout: 5 * time.Second})
				if err != nil {
					disconnect()
					return nil, nil, err
				}
				conns = append(conns, conn)
			}
			conn := conns[len(conns)-1]
			puts = append(puts, func(ctx context.Context, key, value string) error {
				_, err := conn.Put(ctx, key, value)
				return err
			})
		}
		return puts, disconnect, nil
	}}
}
