package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv"
)

// The names in a node's directory.
const (
	storeName     = "store"     // The replica.
	consensusName = "CONSENSUS" // The stable file.
	incomingName  = "incoming"  // A snapshot that is being received.
	unpackedName  = "unpacked"  // The stores of backups that are being restored.
	snapshotsName = "snapshot"  // In the store's directory, like the next two.
	walName       = "wal"       // The log.
	memberName    = "REPLICA"   // Says whose the replica is.
)

// snapshotsKept is the least number of snapshots that a node keeps: the log then has the entry that the newest one ends with.
const snapshotsKept = 2

// Cluster is one node of a cluster: the store, and what keeps it the same as the others. Its methods may be called concurrently.
//
// Invariants: mu guards current and closed; current is nil only while the node is opened. Nothing waits for an answer of raft with mu held.
type Cluster struct {
	opts      Options
	id        string // This node's identity.
	run       string // Drawn when the node is opened: of two copies of a directory each has another.
	raftLog   hclog.Logger
	port      *port
	stable    *stable
	replica   *kv.Replica
	history   *history
	logs      raft.LogStore
	snapshots *snapshots
	fsm       *fsm
	watch     *watchdog
	calls     *calls
	reads     rounds
	confirms  confirmations
	fresh     freshness
	clocks    clocks
	dialled   dialled
	standing  standing
	changing  chan struct{} // Holds a token while the members aren't being changed here.
	counts    counts
	renewing  sync.Mutex // Held from the end of one run of the consensus to the next, and while the store is closed.
	restoring sync.Mutex // One restore at a time.
	unpacked  string     // Where its backup is unpacked.

	ctx    context.Context // Done when the node is closed.
	cancel context.CancelFunc
	lives  sync.WaitGroup

	closing atomic.Bool // Nothing is proposed any more.
	mu      sync.Mutex
	current *engine
	closed  bool
}

// Open opens the node in a directory, or makes one where the directory is missing or empty. It returns once the store has recovered, and
// doesn't wait for the other nodes: Ready says when the node is part of a cluster with a leader. ctx limits opening alone.
//
// Errors are ErrOption, those of kv.OpenReplica, ErrCorrupt, or of the network.
func Open(ctx context.Context, dir string, opts Options) (*Cluster, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	switch kept := opts.Store.SnapshotsKept; {
	case kept == 0:
		opts.Store.SnapshotsKept = max(kv.DefaultSnapshotsKept, snapshotsKept)
	case kept < snapshotsKept:
		return nil, wrong("Store", "SnapshotsKept is %d, at least %d are needed", kept, snapshotsKept)
	}
	c := &Cluster{opts: opts, run: hex.EncodeToString(random(8)), raftLog: newRaftLog(opts.Logger), watch: newWatchdog(opts.SlowSync)}
	c.watch.stop = c.stop
	c.changing = make(chan struct{}, 1)
	c.changing <- struct{}{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.open(ctx, dir); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// open opens the parts, each of which Close closes if it is there.
func (c *Cluster) open(ctx context.Context, dir string) (err error) {
	if err := c.openDirectory(dir); err != nil {
		return err
	}
	if c.port, err = listen(c.opts, c.id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	c.calls = newCalls(c)
	c.reads.ask, c.reads.ctx = c.readIndex, c.ctx
	c.confirms = confirmations{ask: c.askTerm, ctx: c.ctx, voters: map[string]*rounds{}}
	e, err := c.startEngine()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.current = e
	c.mu.Unlock()
	if err := c.watch.stopped(); err != nil { // It may have found nothing to stop.
		return err
	}
	c.port.serveAs(forCalls, c.serveCalls)
	c.lives.Go(func() { c.watch.watch(c.ctx) })
	c.lives.Go(c.belong)
	c.lives.Go(c.watchClocks)
	c.lives.Go(c.watchDialled)
	c.lives.Go(c.watchIdle)
	if certs := c.port.certs; certs != nil {
		c.lives.Go(func() { certs.Watch(c.ctx) })
	}
	return nil
}

// openDirectory opens what is in the node's directory.
func (c *Cluster) openDirectory(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if archive := c.opts.Store.ArchiveDir; archive != "" && vfs.OS.Within(archive, dir) {
		return wrong("Store", "ArchiveDir %s is the node's directory %s, or in it; name one outside", archive, dir)
	}
	if err := checkDirectory(dir); err != nil {
		return err
	}
	store := filepath.Join(dir, storeName)
	member := kv.Member{Cluster: clusterID(c.opts.Cluster), Node: c.opts.Node}
	if c.replica, err = kv.OpenReplica(store, c.opts.Store, member, consensus{c}); err != nil {
		return err
	}
	if c.stable, err = openStable(vfs.OS, filepath.Join(dir, consensusName)); err != nil { // The store's lock is held.
		return err
	}
	c.stable.time, c.stable.applied = c.watch.begin, c.replica.Applied
	c.stable.saw, c.stable.trip = c.watch.saw, c.watch.trip
	first, last := c.replica.Log().Bounds()
	if err := c.stable.checkReach(max(last, c.replica.Applied())); err != nil {
		return err
	}
	if c.id, err = identify(c.stable, c.opts.Node, first == 1 && last == 0); err != nil {
		return err
	}
	if c.history, err = openHistory(c.stable, c.replica.Log(), filepath.Join(store, snapshotsName)); err != nil {
		return err
	}
	c.snapshots = &snapshots{history: c.history, watch: c.watch, incoming: filepath.Join(dir, incomingName)}
	c.snapshots.drop()
	c.unpacked = filepath.Join(dir, unpackedName, c.run) // A restore of the last opening may not have noticed yet that it is over.
	if err := os.RemoveAll(filepath.Dir(c.unpacked)); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	c.logs = c.opts.log(&logStore{
		log: c.opts.disk(c.replica.Log()), history: c.history, watch: c.watch,
		committed: c.committed, applied: c.replica.Applied, shortened: c.renewSoon,
	})
	c.fsm = &fsm{
		ctx: c.ctx, replica: c.replica, snapshots: c.snapshots, watch: c.watch, handedOn: c.handedOn, diverged: c.renewSoon,
	}
	return nil
}

// DB returns the store. It reads what this node holds, which may lag: see Linearizable and Stale. Only the leader commits; see
// kv.Replica.DB for the errors. It must not be closed: Close does that.
func (c *Cluster) DB() *kv.DB { return c.replica.DB() }

// engine returns the current run of the consensus.
func (c *Cluster) engine() *engine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// committed returns up to which index entries are known to be agreed upon.
func (c *Cluster) committed() uint64 {
	if e := c.engine(); e != nil {
		return e.raft.CommitIndex()
	}
	return 0
}

// agrees returns an error, and stops the node, where an entry that is applied here is known to be of another term than a leader says.
func (c *Cluster) agrees(index, term uint64) error {
	own, known := c.history.endTerm(index)
	if !known {
		e, err := c.replica.Log().Read(index)
		own, known = e.Term, err == nil
	}
	if !known || own == term {
		return nil
	}
	err := fmt.Errorf("cluster: %w: entry %d is applied as one of term %d, the leader has it as one of term %d", kv.ErrConflict, index, own, term)
	c.watch.trip(err)
	return err
}

// handedOn returns up to which index the consensus has handed entries on to be applied. It begins with what the store has recovered.
func (c *Cluster) handedOn() uint64 {
	if e := c.engine(); e != nil {
		return e.raft.AppliedIndex()
	}
	return c.replica.Applied()
}

// Close hands the leadership over, if this node has it, leaves the consensus and closes the store. Commits in progress end first, each with
// the outcome that it has. It waits for a disk that hangs. Calling it again does nothing.
func (c *Cluster) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	e := c.current
	c.mu.Unlock()
	c.closing.Store(true)
	var errs []error
	if e != nil {
		if c.watch.stopped() == nil {
			if err := c.handOver(e, c.opts.Handover); err != nil {
				c.opts.Logger.Info("leadership was not handed over", "node", c.opts.Node, "error", err)
			}
			e.settle(c.opts.Handover)
		}
	}
	c.cancel()
	c.watch.retire()
	if e = c.engine(); e != nil {
		errs = append(errs, e.end())
	}
	if c.port != nil {
		errs = append(errs, c.port.Close())
	}
	c.lives.Wait()
	c.reads.close()
	c.confirms.close()
	c.renewing.Lock() // A recovery may write its members still, which is for this process to do.
	defer c.renewing.Unlock()
	if e != nil && c.watch.stopped() == nil {
		if err := c.stable.settle(); err != nil { // It would only have helped to notice what is lost later.
			c.opts.Logger.Info("what is applied was not noted", "node", c.opts.Node, "error", err)
		}
	}
	if c.replica != nil {
		errs = append(errs, c.replica.DB().Close())
	}
	return errors.Join(errs...)
}

// stopShare is for how long of its lease a node that stops tries to hand over its leadership: raft needs milliseconds, or hangs.
const stopShare = 4

// stop is what the watchdog does: the leadership is handed over, if raft still hears, and then the node leaves the consensus.
func (c *Cluster) stop(why error) {
	c.opts.Logger.Error("node stops taking part until it is opened again", "node", c.opts.Node, "error", why)
	e := c.engine()
	if e == nil {
		return
	}
	if err := c.handOver(e, min(c.opts.Handover, c.opts.Lease/stopShare)); err != nil {
		c.opts.Logger.Warn("leadership was not handed over", "node", c.opts.Node, "error", err)
	}
	e.begin()
}

// renewDelay is for the answer to the node that has sent a snapshot, which is on its way.
const renewDelay = 100 * time.Millisecond

// renewSoon starts another run of the consensus in a moment.
func (c *Cluster) renewSoon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.lives.Go(func() {
		select {
		case <-time.After(renewDelay):
		case <-c.ctx.Done():
			return
		}
		_ = c.renewAfter(func() error { return nil }) // After an error the node is stopped or closed.
	})
}

// renewAfter ends the current run of the consensus, does something, and starts another run. After an error of what it does the next run
// starts as well. A run that doesn't end or start stops the node. Close waits for it: nothing is written into the directory after that.
func (c *Cluster) renewAfter(do func() error) error {
	c.renewing.Lock()
	defer c.renewing.Unlock()
	if c.ctx.Err() != nil {
		return ErrClosed
	}
	if err := c.engine().end(); err != nil {
		c.watch.trip(err)
		return err
	}
	done := do()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.watch.stopped() != nil {
		return done
	}
	e, err := c.startEngine()
	if err != nil {
		c.watch.trip(err)
		return errors.Join(done, err)
	}
	c.current = e
	return done
}
