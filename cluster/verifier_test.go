package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metrics"
	"github.com/hashicorp/raft-wal/verifier"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

var verifyFlag = flag.Duration("verify", 4*time.Second, "how long the test with raft-wal's verifier takes")

// verifyMark is the command that ends a range: its entry carries the leader's checksum of what came before it.
const verifyMark = "verify"

// verified is a node's log with raft-wal's verifier around it, which compares what the leader has appended with what this node appends and
// with what it reads back.
//
// The verifier sums up entries as they are appended, and knows of no cuts and no gaps. So after each another one begins.
type verified struct {
	raft.LogStore // The log itself, which reads go to.
	found         *findings

	mu   sync.Mutex
	next uint64 // The index that an append without a gap begins with; 0 after a cut.
	now  *verifier.LogStore
}

var _ raft.MonotonicLogStore = (*verified)(nil)

// begin lets another verifier begin. mu is held, but while the node is opened.
func (v *verified) begin() *verified {
	isMark := func(l *raft.Log) (bool, error) { return string(l.Data) == verifyMark, nil }
	v.now, v.next = verifier.NewLogStore(v.LogStore, isMark, v.found.report, &metrics.NoOpCollector{}), 0
	v.found.mu.Lock()
	defer v.found.mu.Unlock()
	v.found.verifiers = append(v.found.verifiers, v.now)
	return v
}

// IsMonotonic implements raft.MonotonicLogStore: raft asks what it is given.
func (v *verified) IsMonotonic() bool { return v.now.IsMonotonic() }

func (v *verified) StoreLog(entry *raft.Log) error { return v.StoreLogs([]*raft.Log{entry}) }

func (v *verified) StoreLogs(logs []*raft.Log) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.next != 0 && logs[0].Index != v.next {
		v.begin()
	}
	err := v.now.StoreLogs(logs)
	if err == nil {
		v.next = logs[len(logs)-1].Index + 1
	}
	return err
}

func (v *verified) DeleteRange(from, to uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if to+1 == v.next {
		v.begin()
	}
	return v.LogStore.DeleteRange(from, to)
}

// findings are what the verifiers of all nodes report.
type findings struct {
	mu        sync.Mutex
	ranges    int // Those that were the same.
	cut       int // Those that were not compared: the log doesn't have them any more, or was closed.
	failures  []verifier.VerificationReport
	verifiers []*verifier.LogStore
}

func (f *findings) report(r verifier.VerificationReport) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case r.Err == nil:
		f.ranges++
	case errors.Is(r.Err, verifier.ErrRangeMismatch), errors.Is(r.Err, raft.ErrLogNotFound), errors.Is(r.Err, kv.ErrClosed):
		f.cut++
	default:
		f.failures = append(f.failures, r)
	}
}

// TestAllNodesHaveWhatTheLeaderHasAppended has raft-wal's verifier in all nodes, under load, while nodes take snapshots, are restarted and
// made leaders.
func TestAllNodesHaveWhatTheLeaderHasAppended(t *testing.T) {
	found := &findings{}
	t.Cleanup(func() { // After the nodes were closed.
		for _, v := range found.verifiers {
			require.NoError(t, v.Close())
		}
	})
	c := newTrioWith(t, func(o *Options) {
		o.TrailingLogs, o.Logger = 64, slog.New(slog.DiscardHandler)
		o.log = func(log raft.LogStore) raft.LogStore { return (&verified{LogStore: log, found: found}).begin() }
	})
	require.True(t, c.nodes["a"].logs.(raft.MonotonicLogStore).IsMonotonic())
	began := time.Now()
	compacted := func() bool {
		first, _ := c.nodes["a"].replica.Log().Bounds()
		return first > 1
	}
	for round := 0; time.Since(began) < *verifyFlag || !compacted(); round++ {
		name := c.names[round%len(c.names)]
		c.loadAndMark(500 * time.Millisecond)
		c.checkpoint(name)
		switch round % 4 {
		case 1:
			require.NoError(t, c.nodes[c.leader()].Transfer(soon(t), ""))
		case 3:
			c.stop(name)
			c.loadAndMark(100 * time.Millisecond)
			c.open(name)
		}
	}
	c.requireAlike()
	_, entries := c.nodes["a"].replica.Log().Bounds()
	c.close()
	found.mu.Lock()
	defer found.mu.Unlock()
	t.Logf("%d entries, %d ranges are the same on the leader and a node, %d were not compared", entries, found.ranges, found.cut)
	require.Empty(t, found.failures)
	require.Greater(t, found.ranges, 20)
}

// loadAndMark lets clients put for a while, and ends ranges in between.
func (c *trio) loadAndMark(while time.Duration) {
	c.t.Helper()
	leader := c.nodes[c.leader()]
	ctx, cancel := context.WithTimeout(c.t.Context(), while)
	defer cancel()
	var clients sync.WaitGroup
	for number := range 4 {
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ { // Whatever becomes of it: entries are all that counts.
				_, _ = leader.DB().Put(fmt.Appendf(nil, "%d-%d", number, i%100), make([]byte, i%1000))
			}
		})
	}
	for ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		leader.engine().raft.Apply([]byte(verifyMark), time.Second)
	}
	clients.Wait()
}
