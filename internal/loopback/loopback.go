// Package loopback finds addresses for servers that tests and benchmarks start, where a server must know the others' addresses
// before it listens itself.
package loopback

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports are taken from below those that Linux gives to connections by itself (from 32,768 on): a connection that somebody opens
// before the server listens can't take the server's port.
const firstPort, endPort = 20_000, 32_000

// given are the ports that this process was given already. An address that is free is free until its server listens, and would be
// given twice.
var given = struct {
	sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// errNoPort says that nothing is free, or that this process has taken all of it.
var errNoPort = errors.New("no free port")

// Addresses returns n addresses of this machine that nothing listens on. It never returns one again. Another process may be given
// the same ones, which is rare, since ports are drawn at random. It may be called concurrently.
func Addresses(n int) ([]string, error) {
	given.Lock()
	defer given.Unlock()
	addresses := make([]string, 0, n)
	for tries := 0; len(addresses) < n; tries++ {
		if len(given.ports)+n-len(addresses) > endPort-firstPort || tries == 10*(endPort-firstPort) {
			return nil, fmt.Errorf("find %d addresses: %w from %d to %d", n, errNoPort, firstPort, endPort-1)
		}
		port := firstPort + rand.IntN(endPort-firstPort)
		if given.ports[port] {
			continue
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue // Something listens there.
		}
		if err := listener.Close(); err != nil {
			return nil, err
		}
		given.ports[port] = true
		addresses = append(addresses, address)
	}
	return addresses, nil
}
