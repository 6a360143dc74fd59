package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// askAgain is how long a read waits before it looks for a leader again.
const askAgain = 20 * time.Millisecond

// Linearizable waits until this node shows everything that was acknowledged, by any node, before the call: reads of DB after it are as good
// as reads on the leader. On the leader it costs a round of messages to most nodes; on another node one to the leader besides, and the
// wait for what it lacks. Many callers share one. It waits for a leader as long as ctx lasts. Errors are ctx's, ErrStopped and ErrClosed.
func (c *Cluster) Linearizable(ctx context.Context) error {
	for {
		offset, err := c.reads.join(ctx)
		if err == nil {
			return c.await(ctx, offset)
		}
		if err := c.hopeless(ctx); err != nil {
			return err
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return fmt.Errorf("cluster: read: %w: %w", context.Cause(ctx), err)
		case <-c.ctx.Done():
			return ErrClosed
		}
	}
}

// await waits until an entry is applied here.
func (c *Cluster) await(ctx context.Context, offset uint64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })
	defer stop()
	err := c.replica.Wait(ctx, offset)
	if err != nil && c.ctx.Err() != nil {
		return ErrClosed
	}
	return err
}

// hopeless returns why no answer is to be expected.
func (c *Cluster) hopeless(ctx context.Context) error {
	if c.ctx.Err() != nil {
		return ErrClosed
	}
	if err := c.watch.stopped(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("cluster: read: %w", context.Cause(ctx))
	}
	return nil
}

// readIndex asks the leader for an offset such that a node which has applied it shows everything that was acknowledged before the question.
func (c *Cluster) readIndex(ctx context.Context) (offset uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.DialTimeout)
	defer cancel()
	began := time.Now()
	if c.engine().leads() {
		offset, err = c.verified(ctx)
	} else {
		var a answer
		a, err = c.askLeader(ctx, question{Op: opRead, Node: c.id})
		offset = a.Offset
	}
	if err == nil {
		c.fresh.note(began, offset)
	}
	return offset, err
}

// verified is readIndex on the leader, which makes sure that it still is one. What is applied when the question comes is enough: everything
// that was acknowledged before is, on a leader that is established.
func (c *Cluster) verified(ctx context.Context) (offset uint64, err error) {
	e := c.engine()
	term := e.raft.CurrentTerm()
	if e.established.Load() != term {
		return 0, fmt.Errorf("%w: it has not begun", ErrNoLeader)
	}
	offset = c.replica.Applied()
	if err := c.confirmed(ctx, term); err != nil {
		return 0, err
	}
	if c.engine() != e || !e.leads() || e.raft.CurrentTerm() != term {
		return 0, fmt.Errorf("%w: the term has changed", ErrNoLeader)
	}
	return offset, nil
}

// entitled refuses a node that is no member: it gets no entries, so it would never show what it is answered. Only the leader knows.
func (c *Cluster) entitled(ctx context.Context, id string) error {
	if !c.engine().leads() {
		return ErrNoLeader
	}
	servers, err := c.members(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == id }) {
		return fmt.Errorf("%w: %q is no member", ErrMember, nameOf(id))
	}
	return nil
}

// freshness is how new the state of this node is known to be. The monotonic clock stands still while the machine is suspended, and the other
// one may be set: the longer time counts.
type freshness struct {
	mu     sync.Mutex
	asked  time.Time // When the leader was asked last.
	wall   time.Time // The same without the monotonic clock.
	offset uint64    // What it said.
}

func (f *freshness) note(asked time.Time, offset uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if asked.After(f.asked) {
		f.asked, f.wall, f.offset = asked, asked.Round(0), offset
	}
}

// read returns how long ago the leader was asked, and what it said. ever is not set before it was asked.
func (f *freshness) read(now time.Time) (age time.Duration, offset uint64, ever bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(now.Sub(f.asked), now.Round(0).Sub(f.wall)), f.offset, !f.asked.IsZero()
}

// known returns the last entry of which this node knows that it was agreed upon, since the leader said so.
func (f *freshness) known() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.offset
}

// Stale waits until this node shows everything that was acknowledged longer ago than a bound. It asks nobody where it knows that already:
// with a bound of some seconds nearly all reads cost nothing. Time is measured on this node alone, so clocks that differ don't matter.
// Errors are those of Linearizable, and ErrStale where ctx is done first.
func (c *Cluster) Stale(ctx context.Context, bound time.Duration) error {
	if err := c.hopeless(context.Background()); errors.Is(err, ErrClosed) {
		return err
	}
	if age, offset, ever := c.fresh.read(time.Now()); ever && age <= bound && c.replica.Applied() >= offset {
		return nil
	}
	err := c.Linearizable(ctx)
	if err != nil && ctx.Err() != nil {
		age, _, ever := c.fresh.read(time.Now())
		if !ever {
			return fmt.Errorf("%w: no leader has answered yet: %w", ErrStale, err)
		}
		return fmt.Errorf("%w: nothing newer than %v ago is known: %w", ErrStale, age.Round(time.Millisecond), err)
	}
	return err
}

// Ready returns nil where this node can serve: it takes part, its disk takes entries, a leader answers now, and it lacks no more than
// Options.ReadyLag of the leader's entries. It asks each time, for as long as ctx lasts at most. Errors are ErrStopped, ErrClosed,
// ErrMember for a node that isn't let in or was removed, ErrPeer for one whose peers take it for no node of theirs, kv.ErrNoSpace,
// kv.ErrVersion for an older program than the leader's, ErrNoLeader, and ErrStale for a node that lacks more.
func (c *Cluster) Ready(ctx context.Context) error {
	if err := c.hopeless(ctx); err != nil {
		return err
	}
	if err := errors.Join(c.watch.state(), c.membership()); err != nil {
		return err
	}
	offset, err := c.reads.join(ctx)
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, ErrNoLeader) {
			err = fmt.Errorf("%w: most nodes don't answer: %w", ErrNoLeader, err)
		}
		return err
	}
	if applied := c.replica.Applied(); applied+c.opts.ReadyLag < offset {
		return fmt.Errorf("%w: it has applied %d of %d entries", ErrStale, applied, offset)
	}
	return nil
}
