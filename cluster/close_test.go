package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// openFiles returns how many files and sockets the process has open; 0 where that isn't known.
func openFiles() int {
	names, _ := os.ReadDir("/proc/self/fd")
	return len(names)
}

// TestANodeCanBeClosedAtAnyMoment closes nodes while they make a cluster, join one, elect a leader, take snapshots and get them, with proposals in
// flight. Nothing is left running or open, and the nodes agree afterwards.
func TestANodeCanBeClosedAtAnyMoment(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test -race -run TestANodeCanBeClosed . -seed=%d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	c := &trio{t: t, dir: t.TempDir(), names: []string{"a", "b", "c"}, net: newNetwork(t), nodes: map[string]*Cluster{}}
	c.with = func(o *Options) { o.TrailingLogs, o.Handover = 1, 300*time.Millisecond }
	t.Cleanup(c.close)
	for _, name := range c.names {
		c.net.address(name)
	}
	goroutines, files := runtime.NumGoroutine(), openFiles()
	rounds := 20
	if testing.Short() {
		rounds = 6
	}
	for round := range rounds {
		var lives sync.WaitGroup
		for _, name := range c.names {
			after := time.Duration(dice.IntN(1500)) * time.Millisecond
			o := c.options(name)
			lives.Go(func() { live(t, c, name, o, after, round) })
		}
		lives.Wait()
		waitUntil(t, func() bool { return runtime.NumGoroutine() <= goroutines+6 && openFiles() <= files+6 })
	}
	for _, name := range c.names {
		c.open(name)
	}
	c.put("key", "value")
	c.requireAlike()
}

// live opens a node, lets it do what it can, and closes it after a time.
func live(t *testing.T, c *trio, name string, o Options, after time.Duration, round int) {
	node, err := Open(t.Context(), filepath.Join(c.dir, name), o)
	if err != nil {
		t.Errorf("open %s: %v", name, err)
		return
	}
	c.net.mu.Lock()
	c.net.targets[name] = node.port.listener.Addr().String()
	c.net.mu.Unlock()
	over := make(chan struct{})
	var clients sync.WaitGroup
	for number := range 3 {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				_, err := node.DB().Put(fmt.Appendf(nil, "%d %s %d %d", round, name, number, i), make([]byte, 100))
				if err != nil {
					time.Sleep(time.Millisecond)
				}
				if i%20 == 0 {
					_ = consensus{node}.Checkpoint(node.ctx)
					_ = node.Ready(node.ctx)
					_ = node.Status()
				}
			}
		})
	}
	time.Sleep(after)
	if err := node.Close(); err != nil {
		t.Errorf("close %s: %v", name, err)
	}
	close(over)
	clients.Wait()
}
