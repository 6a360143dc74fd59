package kv

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// paused is a replica's proposals without anything else.
type paused struct {
	*Replica
	pausing pause
}

// newPaused returns one whose last proposal took a time and has woken some callers, while other commits were queued.
func newPaused(took time.Duration, woken, queued int) *paused {
	p := &paused{Replica: &Replica{db: &DB{}}}
	p.proposals.wake = make(chan struct{}, 1)
	p.pausing.proposed(took)
	p.again(woken, queued)
	return p
}

// again is another proposal.
func (p *paused) again(woken, queued int) {
	p.db.mu.Lock()
	defer p.db.mu.Unlock()
	p.proposals.queue = []*proposal{{commits: queued}}
	p.proposals.woke(&proposal{commits: woken})
}

// come queues another commit after a time.
func (p *paused) come(after time.Duration) {
	go func() {
		time.Sleep(after)
		p.db.mu.Lock()
		defer p.db.mu.Unlock()
		p.proposals.queue[0].commits++
		p.proposals.arrived()
	}()
}

// paused returns how long the pause takes.
func (p *paused) paused() time.Duration {
	began := time.Now()
	p.pause(&p.pausing)
	return time.Since(began)
}

const µs = time.Microsecond

func TestAProposalWaitsForCallersThatComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaused(800*µs, 3, 2)
		for i := range 3 {
			p.come(time.Duration(i+1) * 100 * µs)
		}
		require.Equal(t, 300*µs, p.paused())
		require.Equal(t, 5, p.proposals.queued())
	})
}

func TestAProposalWaitsNoLongerThanTheLastOneTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.Equal(t, 800*µs, newPaused(800*µs, 3, 2).paused())
		require.Equal(t, pauseMost, newPaused(time.Second, 3, 2).paused())
	})
}

func TestAProposalWaitsForNothingInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.Zero(t, newPaused(800*µs, 1, 0).paused(), "a caller that is alone")
		require.Zero(t, newPaused(800*µs, 0, 0).paused(), "nothing has happened")
		p := newPaused(800*µs, 3, 2)
		p.proposals.queue = append(p.proposals.queue, &proposal{commits: 1})
		require.Zero(t, p.paused(), "the next proposal is full")
		p = newPaused(800*µs, 3, 2)
		p.proposals.ending = true
		require.Zero(t, p.paused(), "the store is closed")
	})
}

func TestPausesBecomeRareWhereCallersDontComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaused(800*µs, 4, 0)
		pauses := 0
		for range 1000 {
			p.again(4, 0)
			p.come(100 * µs) // One of four.
			if p.paused() > 0 {
				pauses++
			}
			time.Sleep(time.Millisecond)
		}
		require.Less(t, pauses, 1000/skipsMost+8)
		require.Equal(t, skipsMost, p.pausing.skips)
		p.pausing.skip = 0
		p.again(4, 0)
		for range 3 {
			p.come(100 * µs)
		}
		require.Equal(t, 800*µs, p.paused(), "one of four is missing")
		require.Zero(t, p.pausing.skips)
	})
}

func TestOnlyCommitsThatHappenedAreExpectedAgain(t *testing.T) {
	for name, want := range map[string]returning{"accepted": {callers: 1, total: 1}, "refused": {}} {
		t.Run(name, func(t *testing.T) {
			c := openScript(t, memOptions(vfs.NewMem()))
			got := make(chan returning, 1)
			c.propose = func(record []byte) (err error) {
				if err = ErrNotLeader; name == "accepted" {
					err = c.agree(record)
				}
				db := c.replica.DB()
				db.mu.Lock()
				defer db.mu.Unlock()
				got <- c.replica.proposals.returning
				return err
			}
			_, err := c.replica.DB().Put([]byte("key"), []byte("value"))
			require.Equal(t, name == "accepted", err == nil)
			require.Equal(t, want, <-got)
		})
	}
}
