package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// engine is one run of the consensus. A node has one after the other: after an install that has removed entries which raft still counts, a
// new one is started, since raft 1.8.0 would vote by them.
type engine struct {
	raft   *raft.Raft
	trans  *transport
	halted chan struct{} // Closed when raft is told to shut down: from then on no answer is to be expected.
	halt   sync.Once
	down   raft.Future // Raft's answer to being shut down. Set before halted is closed.
	asks   asks
	lives  sync.WaitGroup

	// established is the term in which this node leads and has applied what was acknowledged before; 0 where there is none.
	established atomic.Uint64
}

// startEngine starts raft, after the replica has recovered.
func (c *Cluster) startEngine() (*engine, error) {
	start, err := c.recovered()
	if err != nil {
		return nil, err
	}
	e := &engine{halted: make(chan struct{})}
	e.trans = &transport{
		layer: newLayer(c.port), limit: c.opts.message, patience: c.opts.Heartbeat, reads: c.snapshotsRead, log: c.opts.Logger,
	}
	e.trans.start(&raft.NetworkTransportConfig{
		MaxPool: connsKept, Timeout: c.opts.DialTimeout, Logger: c.raftLog, MsgpackUseNewTimeFormat: true,
		MaxRPCsInFlight: 1, // After an append that was refused, pipelining can stall a follower for good.
	})
	c.snapshots.start.Store(start)
	defer c.snapshots.start.Store(nil)
	e.raft, err = newRaft(c.raftConfig(), c.fsm, c.logs, c.termStore(), countedSnapshots{c.snapshots, &c.counts}, e.trans)
	if e.raft == nil && err == nil {
		err = c.watch.stopped()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: %w", err), e.trans.Close())
	}
	e.trans.taker.Store(&taker{e.raft.AppliedIndex, e.raft.CurrentTerm, c.agrees})
	c.counts.observe(e.raft)
	e.lives.Go(func() { c.followLeadership(e) })
	return e, nil
}

// newRaft is raft.NewRaft, with an error where that panics. It has neither raft nor an error where the watchdog was called: then the
// goroutine that asked has ended, which is why there is one.
func newRaft(
	conf *raft.Config, f raft.FSM, logs raft.LogStore, stable raft.StableStore, snaps raft.SnapshotStore, trans raft.Transport,
) (r *raft.Raft, err error) {
	var starting sync.WaitGroup
	starting.Go(func() {
		defer func() {
			if why := recover(); why != nil {
				err = fmt.Errorf("start: %v", why)
			}
		}()
		r, err = raft.NewRaft(conf, f, logs, stable, snaps, trans)
	})
	starting.Wait()
	return r, err
}

func (c *Cluster) raftConfig() *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(c.id)
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = c.opts.Heartbeat, c.opts.Election, c.opts.Lease
	conf.CommitTimeout, conf.TrailingLogs = c.opts.CommitEvery, c.opts.TrailingLogs
	conf.SnapshotThreshold = math.MaxUint64 // The store says when one is due.
	conf.NoSnapshotRestoreOnStart = true    // The replica has recovered by itself.
	conf.NoLegacyTelemetry = true
	conf.ShutdownOnRemove = false // A node that was removed can be let in again.
	conf.Logger = c.raftLog
	return conf
}

// recovered returns up to where the replica has recovered, in the form of a snapshot; nil where it is new.
func (c *Cluster) recovered() (*raft.SnapshotMeta, error) {
	applied := c.replica.Applied()
	if applied == 0 {
		return nil, nil
	}
	meta, err := c.history.meta("recovered", applied, 0)
	if err != nil {
		return nil, fmt.Errorf("cluster: entry %d: %w", applied, err)
	}
	return meta, nil
}

// errHalted is what a run of the consensus answers once it ends.
var errHalted = raft.ErrRaftShutdown

// await waits for raft's answer. raft may forget one when it is shut down.
func (e *engine) await(ctx context.Context, f raft.Future) error {
	answered := make(chan error, 1)
	e.asks.start(func() { answered <- f.Error() })
	select {
	case err := <-answered:
		return err
	case <-e.halted:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select { // The answer, if it was there.
	case err := <-answered:
		return err
	default:
		return errHalted
	}
}

// leads reports whether raft leads here, or believes so.
func (e *engine) leads() bool { return e.raft.State() == raft.Leader }

// isEstablished reports whether this node leads, or believes so, and has applied all that was acknowledged before it did.
func (e *engine) isEstablished() bool { return e.term() != 0 }

// term returns the term in which this node leads and is established, 0 where it isn't.
func (e *engine) term() uint64 {
	if term := e.raft.CurrentTerm(); e.leads() && e.established.Load() == term {
		return term
	}
	return 0
}

// followLeadership makes the node's leadership established each time that it begins: once an entry of its term is applied, so is all that
// its predecessors have acknowledged. The entry is a command, empty, because raft hands on neither barriers nor no-ops to the store: so
// what is applied on an established leader ends with an entry that each node gets to apply.
func (c *Cluster) followLeadership(e *engine) {
	for {
		select {
		case <-e.halted:
			return
		case leads := <-e.raft.LeaderCh():
			if leads {
				c.establish(e)
			}
		}
	}
}

// establish makes a leadership that has begun established. While raft hands the leadership over it agrees upon nothing, and it goes on to
// lead where that fails: so this is tried again for as long as it leads.
func (c *Cluster) establish(e *engine) {
	mark := e.raft.Apply(nil, 0)
	err := e.await(c.ctx, mark)
	for ; err != nil && e.leads() && c.ctx.Err() == nil; err = e.await(c.ctx, mark) {
		select {
		case <-time.After(askAgain):
		case <-e.halted:
			return
		}
		mark = e.raft.Apply(nil, 0)
	}
	if err != nil {
		c.opts.Logger.Info("leadership was lost before it began", "node", c.opts.Node, "error", err)
		return
	}
	entry, err := c.replica.Log().Read(mark.Index())
	if err != nil { // Nobody else would depose a leader that does nothing.
		c.watch.trip(fmt.Errorf("leadership can't begin: %w", err))
		return
	}
	e.established.Store(entry.Term)
	c.opts.Logger.Info("node leads", "node", c.opts.Node, "term", entry.Term)
}

// settle waits until raft has answered what it was asked, which it does soon unless it hangs.
func (e *engine) settle(limit time.Duration) {
	select {
	case <-e.asks.settled():
	case <-time.After(limit):
	}
}

// begin ends the run as the others see it: without connections a node neither leads nor votes.
func (e *engine) begin() {
	e.halt.Do(func() {
		_ = e.trans.Close() // With all connections: raft may wait for an answer over one.
		e.down = e.raft.Shutdown()
		close(e.halted)
	})
}

// end ends the run, and waits for that.
func (e *engine) end() error {
	e.begin()
	err := e.down.Error()
	e.lives.Wait()
	return err
}
