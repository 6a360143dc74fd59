package cluster

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkPut puts pairs of 16 and 100 bytes on the leader of three nodes in this process, which share one disk, with some clients at a time.
func BenchmarkPut(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			c := newQuietTrio(b)
			db, value := c.nodes[c.leader()].DB(), make([]byte, 100)
			share := make(chan int, b.N)
			for i := range b.N {
				share <- i
			}
			close(share)
			done := make(chan error, clients)
			b.ResetTimer()
			for range clients {
				go func() {
					var err error
					for i := range share {
						if _, err = db.Put(fmt.Appendf(nil, "%016d", i), value); err != nil {
							break
						}
					}
					done <- err
				}()
			}
			for range clients {
				require.NoError(b, <-done)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
		})
	}
}

// BenchmarkLinearizable reads on the leader and on a follower of an idle cluster.
func BenchmarkLinearizable(b *testing.B) {
	c := newQuietTrio(b)
	c.put("key", "value")
	for _, role := range []struct{ name, node string }{{"leader", c.leader()}, {"follower", c.follower()}} {
		b.Run(role.name, func(b *testing.B) {
			node := c.nodes[role.node]
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := node.Linearizable(b.Context()); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
		})
	}
}

// BenchmarkFailover takes the time from when the leader is closed, or is cut off, until a put is acknowledged, with the default timeouts.
func BenchmarkFailover(b *testing.B) {
	for _, kind := range []string{"closed", "cut off"} {
		b.Run(kind, func(b *testing.B) {
			c := newQuietTrio(b)
			for i := range b.N {
				old := c.leader()
				c.put("before", "1")
				began := time.Now()
				if kind == "closed" {
					node := c.nodes[old]
					delete(c.nodes, old)
					go func() { _ = node.Close() }()
				} else {
					c.net.isolate(old, true)
					waitUntil(b, func() bool { return !c.nodes[old].Leads() })
				}
				c.put("after", fmt.Sprint(i))
				took := time.Since(began)
				b.ReportMetric(took.Seconds()*1000, "ms/last")
				b.StopTimer()
				if kind == "closed" {
					waitUntil(b, func() bool { return c.reopened(old) })
				} else {
					c.net.isolate(old, false)
				}
				c.requireShows(old, "after", fmt.Sprint(i))
				b.StartTimer()
			}
		})
	}
}

// newQuietTrio has the default timeouts, and logs nothing.
func newQuietTrio(b *testing.B) *trio {
	b.Helper()
	return newTrioWith(b, func(o *Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.Heartbeat, o.Lease, o.CommitEvery, o.Store.SegmentSize, o.Store.CheckpointFactor = 0, 0, 0, 0, 0
	})
}

// reopened opens a node once its directory isn't locked any more.
func (c *trio) reopened(name string) bool {
	node, err := Open(soon(c.t), c.dir+"/"+name, c.options(name))
	if err != nil {
		return false
	}
	c.net.mu.Lock()
	c.net.targets[name] = node.port.listener.Addr().String()
	c.net.mu.Unlock()
	c.nodes[name] = node
	return true
}
