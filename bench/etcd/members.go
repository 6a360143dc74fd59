package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// members are three etcd servers on this machine, with the defaults.
type members struct {
	running   []*exec.Cmd
	endpoints []string
}

// start starts them in a directory.
func start(program, dir string) (*members, error) {
	m := &members{}
	names, peers := []string{"a", "b", "c"}, []string(nil)
	var urls []string
	for _, name := range names {
		client, err := freeURL()
		if err != nil {
			return m, err
		}
		peer, err := freeURL()
		if err != nil {
			return m, err
		}
		m.endpoints, urls, peers = append(m.endpoints, client), append(urls, peer), append(peers, name+"="+peer)
	}
	for i, name := range names {
		command := exec.Command(program,
			"--name", name, "--data-dir", filepath.Join(dir, name),
			"--listen-client-urls", m.endpoints[i], "--advertise-client-urls", m.endpoints[i],
			"--listen-peer-urls", urls[i], "--initial-advertise-peer-urls", urls[i],
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-state", "new", "--log-level", "error")
		if err := command.Start(); err != nil {
			return m, err
		}
		m.running = append(m.running, command)
	}
	return m, nil
}

// freeURL returns one that nothing listens on.
func freeURL() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + listener.Addr().String(), listener.Close()
}

// leader returns the leader's endpoint, as soon as there is one.
func (m *members) leader() (string, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: m.endpoints, DialTimeout: 10 * time.Second})
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Close() }()
	var last error
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(100 * time.Millisecond) {
		for _, endpoint := range m.endpoints {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			status, err := client.Status(ctx, endpoint)
			cancel()
			if err == nil && status.Leader == status.Header.MemberId {
				return endpoint, nil
			}
			last = err
		}
	}
	return "", fmt.Errorf("no member leads: %w", last)
}

// end kills them.
func (m *members) end() error {
	if m == nil {
		return nil
	}
	for _, command := range m.running {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	return nil
}
