package wal

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
)

// groupLimit is how many bytes a group may gather before appends have to wait for it to be written.
const groupLimit = 8 << 20

// group is a run of frames that one goroutine, the leader, writes and syncs for all. It is forming (frames are added to it), flying
// (the leader writes it), landed (it is durable, and waits for its turn of Options.Landed), then acknowledged.
type group struct {
	store  *store
	buffer []byte // The frames, as they will stand in the store.
	start  int64  // Their position.
	first  uint64 // Offset of the first record, 0 while there is none.
	last   uint64 // Offset of the last record.
	count  uint32 // Records that the store has with it.
	epoch  uint64 // Of the committer when it formed.

	lead chan struct{} // Gets a token when a waiting goroutine is to lead. nil while none waits.
	done chan struct{} // Closed when err is set. nil while none waits.
	err  error
}

// records returns how many records the group has; its other frames are marks.
func (g *group) records() uint64 {
	if g.first == 0 {
		return 0
	}
	return g.last - g.first + 1
}

// add lays a frame out in the group. The submit lock is held.
func (g *group) add(s *store, kind frameKind, payload []byte, sum uint32) {
	if len(g.buffer) == 0 {
		g.store, g.start = s, s.end
	}
	g.buffer = s.layOut(g.buffer, kind, payload, sum)
	g.count = s.count()
	if kind == kindRecord {
		g.last = s.next - 1
		g.first = cmp.Or(g.first, g.last)
	}
}

// wait makes the channels for waiting goroutines.
func (g *group) wait() {
	if g.done == nil {
		g.done, g.lead = make(chan struct{}), make(chan struct{}, 1)
	}
}

// end wakes the waiting goroutines with the outcome.
func (g *group) end(err error) {
	g.err = err
	if g.done != nil {
		close(g.done)
	}
}

// committer writes groups: many goroutines add frames, one write and one sync serve all of them.
//
// Invariants:
//   - at most one group is forming and one is flying;
//   - once failed is set nothing is written any more, except by a leader that had begun, which writers counts;
//   - groups are acknowledged in order, and acknowledged is the last offset of which readers and waiting goroutines know.
type committer struct {
	readOnly   bool
	landedHook func(last uint64) // Options.Landed, or nil.
	logger     *slog.Logger
	meter      *meter
	full       func() // Called, with mu held, when a group has landed: there may be work to do ahead.

	acknowledged atomic.Uint64
	crowded      atomic.Bool    // The last group had more than one record.
	writers      sync.WaitGroup // Leaders that are writing.

	mu        sync.Mutex // Guards what follows, and the fields of every group except for the buffer of a flying one.
	submitted uint64     // The last offset given out.
	epoch     uint64     // How often the end was cut: a group of before says nothing about what is there now.
	forming   *group
	flying    *group
	spares    []*group   // For later ones: at most as many as there were in use at a time.
	leading   bool       // A leader writes groups, or has been named.
	landed    uint64     // Groups that have landed.
	shown     uint64     // Those of them that were acknowledged.
	turns     *sync.Cond // Signals that a group has landed or was acknowledged, or that the log has failed.
	failed    error
	closed    bool
	changed   chan struct{} // Closed at the next change of the log's end; nil while nothing waits for that.
	stats     Stats         // Only what is counted here: appends, their bytes, writes, syncs and rolls.
}

func newCommitter(opts Options, m *meter) *committer {
	c := &committer{readOnly: opts.ReadOnly, landedHook: opts.Landed, logger: opts.Logger, meter: m, forming: &group{}}
	c.turns = sync.NewCond(&c.mu)
	return c
}

// usable says why the log takes no records now, if it doesn't. mu is held.
func (c *committer) usable() error {
	switch {
	case c.closed:
		return ErrClosed
	case c.readOnly:
		return ErrReadOnly
	}
	return c.failed
}

// writable is usable for callers that don't hold mu.
func (c *committer) writable() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.usable()
}

// growing says why the log gets no more records, if it doesn't. One that is only read gets some if it follows its writer.
func (c *committer) growing(follows bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if follows && !c.closed {
		return c.failed
	}
	return c.usable()
}

// waitFor waits until a group is acknowledged, leading where nothing else does. It releases mu.
func (c *committer) waitFor(g *group) error {
	if c.failed != nil {
		defer c.mu.Unlock()
		return c.failed
	}
	if g == c.forming && !c.leading {
		c.leading = true
		c.mu.Unlock()
		return c.lead()
	}
	g.wait()
	c.mu.Unlock()
	select {
	case <-g.done:
		return g.err
	case <-g.lead:
		return c.lead()
	}
}

// Wait waits until the record with this offset, which Submit returned, is acknowledged. The first caller that waits while no group is
// being written writes for all. After an error, which wraps ErrFailed, the next Open shows whether the record is in the log.
func (c *committer) Wait(offset uint64) error {
	if c.acknowledged.Load() >= offset {
		return nil
	}
	c.mu.Lock()
	switch {
	case c.acknowledged.Load() >= offset:
		c.mu.Unlock()
		return nil
	case c.failed == nil && offset > c.submitted:
		defer c.mu.Unlock()
		return fmt.Errorf("wait for offset %d, the last submitted is %d: %w", offset, c.submitted, ErrOutOfRange)
	case c.forming.first != 0 && offset >= c.forming.first:
		return c.waitFor(c.forming)
	case c.flying != nil && c.flying.first != 0 && offset >= c.flying.first:
		return c.waitFor(c.flying)
	}
	defer c.mu.Unlock()
	for turn := c.landed; c.shown < turn; { // It has landed, and waits for its turn.
		c.turns.Wait()
	}
	return nil
}

// lead brings the forming group to its end.
func (c *committer) lead() error {
	g, turn, err := c.flush()
	if err == nil {
		c.acknowledge(g, turn)
	}
	return err
}

// flush writes and syncs the forming group. Its caller leads. Nothing is written once the log has failed: it may have been
// opened again, and have given the place to other records.
func (c *committer) flush() (g *group, turn uint64, err error) {
	if c.crowded.Load() {
		// Let goroutines woken by the previous group join this one. Otherwise every other sync would serve a single commit.
		runtime.Gosched()
	}
	c.mu.Lock()
	if c.failed != nil {
		defer c.mu.Unlock()
		return nil, 0, c.failed
	}
	g = c.forming
	c.flying, c.forming = g, c.newGroup()
	g.epoch = c.epoch
	c.crowded.Store(g.records() > 1)
	c.writers.Add(1)
	c.mu.Unlock()

	err = g.store.write(g.buffer, g.start, g.count)
	if err == nil {
		err = c.meter.timedSync(g.store, g.records())
	}
	c.writers.Done()
	turn, err = c.land(err)
	return g, turn, err
}

// newGroup returns an empty group. mu is held.
func (c *committer) newGroup() *group {
	last := len(c.spares) - 1
	if last < 0 {
		return &group{}
	}
	g := c.spares[last]
	c.spares = c.spares[:last]
	*g = group{buffer: g.buffer[:0]}
	return g
}

// land notes that the flying group was written, hands the lead to the next one, and returns its turn to be acknowledged.
func (c *committer) land(err error) (turn uint64, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.turns.Broadcast()
	c.stats.Writes++
	if err != nil {
		c.fail(err)
	}
	if c.failed != nil {
		return 0, c.failed // It has ended this group as well.
	}
	c.stats.Syncs++
	c.flying = nil
	c.landed++
	c.full()
	if c.leading = c.forming.done != nil; c.leading {
		c.forming.lead <- struct{}{}
	}
	return c.landed - 1, nil
}

// acknowledge calls Options.Landed for the groups in their order, and wakes the goroutines that wait for the group.
func (c *committer) acknowledge(g *group, turn uint64) {
	c.mu.Lock()
	for c.shown != turn {
		c.turns.Wait()
	}
	if g.first != 0 && c.landedHook != nil {
		c.mu.Unlock()
		c.landedHook(g.last)
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	c.shown++
	if g.first != 0 && g.epoch == c.epoch {
		c.acknowledged.Store(g.last)
	}
	g.end(nil)
	c.recycle(g)
	c.notify()
	c.turns.Broadcast()
}

// recycle keeps a group that was acknowledged, or its buffer, for later. Goroutines that waited for it still look at its error.
func (c *committer) recycle(g *group) {
	if cap(g.buffer) > groupLimit {
		g.buffer = nil
	}
	if g.done != nil {
		g = &group{buffer: g.buffer}
	}
	c.spares = append(c.spares, g)
}

// flushUntil waits, leading where nothing else does, until a condition is met or the log is no longer usable. It releases mu while it
// waits. The caller may hold a lock that Options.Landed takes, so it waits for no acknowledgement.
func (c *committer) flushUntil(met func() bool) error {
	for {
		if err := c.usable(); err != nil || met() {
			return err
		}
		if c.leading || len(c.forming.buffer) == 0 {
			c.turns.Wait()
			continue
		}
		c.leading = true
		c.mu.Unlock()
		g, turn, err := c.flush()
		switch {
		case err != nil:
		case c.landedHook != nil:
			go c.acknowledge(g, turn)
		default:
			c.acknowledge(g, turn)
		}
		c.mu.Lock()
	}
}

// makeGroupRoom waits for the forming group to be written where it is too large to take more. It releases mu while it waits.
func (c *committer) makeGroupRoom(size int64) error {
	return c.flushUntil(func() bool {
		held := int64(len(c.forming.buffer))
		return held == 0 || held+size <= groupLimit
	})
}

// drain waits until no group is forming or flying. The submit lock is held, so nothing is added meanwhile.
func (c *committer) drain() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushUntil(func() bool { return c.flying == nil && len(c.forming.buffer) == 0 })
}

// awaitShown waits until every group that has landed is acknowledged.
func (c *committer) awaitShown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.shown != c.landed {
		c.turns.Wait()
	}
}

// fail makes an error of a write or sync final, and wakes everything that waits. mu is held.
func (c *committer) fail(err error) {
	if c.failed != nil {
		return
	}
	c.failed = fmt.Errorf("%w; whether records that were being written are kept shows when it is opened again: %w", ErrFailed, err)
	c.logger.Error("log failed: it takes no more records until it is opened again", "error", err)
	if c.flying != nil {
		c.flying.end(c.failed)
	}
	c.forming.end(c.failed)
	c.notify()
	c.turns.Broadcast()
}

// failWith is fail for callers that don't hold mu; it returns what the log's error now is.
func (c *committer) failWith(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(err)
	return c.failed
}

// restart lets the log go on at another offset. Everything was written and synced; some of it may not be acknowledged yet.
func (c *committer) restart(next uint64) {
	c.epoch++
	c.submitted = next - 1
	c.acknowledged.Store(next - 1)
	c.notify()
}

// close lets no more in. The submit lock is held.
func (c *committer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.notify()
	c.turns.Broadcast()
}

// change returns a channel that is closed when the log's end has changed since.
func (c *committer) change() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// notify closes the channel. mu is held.
func (c *committer) notify() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}
