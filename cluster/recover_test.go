package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestALostQuorumIsRecoveredFromOneNode(t *testing.T) {
	c := newTrio(t)
	c.fill("", 50)
	last := c.follower()
	c.requireShows(last, "49", string(make([]byte, 200)))
	for _, name := range c.names {
		if name == last {
			continue
		}
		_, err := c.nodes[last].PlanRecovery(soon(t), []Node{{Name: last}})
		require.ErrorIs(t, err, ErrMember, "%d of 3 answer", len(c.nodes))
		_, err = c.nodes[last].Recover(soon(t), []Node{{Name: last}})
		require.ErrorIs(t, err, ErrMember)
		require.ErrorContains(t, err, "voters answer")
		require.Len(t, c.nodes[last].Status().Members, 3, "it was refused")
		c.stop(name)
	}
	waitUntil(t, func() bool { return !c.nodes[last].Leads() }) // The last one that was stopped has handed over.
	_, err := c.nodes[last].DB().Put([]byte("alone"), nil)
	require.ErrorIs(t, err, kv.ErrNotLeader)
	plan, err := c.nodes[last].PlanRecovery(soon(t), []Node{{Name: last}})
	require.NoError(t, err)
	require.Equal(t, last, plan.Members[0].Name)
	require.Len(t, plan.Dropped, 2)
	require.Equal(t, c.nodes[last].Status().Last, plan.Last)
	require.Len(t, c.nodes[last].Status().Members, 3, "a plan changes nothing")

	done, err := c.nodes[last].Recover(soon(t), []Node{{Name: last}})
	require.NoError(t, err)
	require.Equal(t, plan, done)
	for i := range 50 {
		c.requireShows(last, fmt.Sprint(i), string(make([]byte, 200)))
	}
	c.put("after", "the loss")
	c.stop(last)
	c.open(last)
	c.requireShows(last, "after", "the loss")
	require.Equal(t, []Node{{last, c.net.address(last), true, true}}, c.nodes[last].Status().Members)

	// It grows again, under other names.
	c.openWith("d", c.newcomer("d"))
	waitUntil(t, func() bool { return c.member("d", "d").Voter })
	c.requireShows("d", "after", "the loss")
	c.requireAlike()
}

// TestWhatWasOnItsWayIsKept recovers a node whose last entries it doesn't know to be agreed upon, as when the leader has died with what it
// acknowledged last.
func TestWhatWasOnItsWayIsKept(t *testing.T) {
	c := newTrioWith(t, func(o *Options) { o.CommitEvery = 5e9 }) // A follower isn't told what is agreed upon before more follows.
	leader, last, puts := c.leader(), c.follower(), 0
	waitUntil(t, func() bool { // What raft sends once more tells a follower all the same, which is rare.
		puts++
		c.put("key", fmt.Sprint(puts))
		waitUntil(t, func() bool { return c.nodes[last].Status().Last == c.nodes[leader].Status().Last })
		s := c.nodes[last].Status()
		return s.Applied < s.Last
	})
	for _, name := range c.names {
		if name != last {
			c.net.isolate(name, true)
		}
	}
	for _, name := range c.names {
		if name != last {
			c.stop(name)
		}
	}
	_, err := c.nodes[last].Recover(soon(t), []Node{{Name: last}})
	require.NoError(t, err)
	c.requireShows(last, "key", fmt.Sprint(puts))
}

func TestARecoveryOfSomeNodesIsMadeOnTheOneThatHasMost(t *testing.T) {
	c := newTrio(t, "a", "b", "c", "d", "e")
	c.put("key", "1")
	lags := c.follower()
	stay := slices.DeleteFunc(slices.Clone(c.names), func(name string) bool { return name == lags || name == c.leader() })
	c.net.isolate(lags, true)
	c.fill("", 20)
	most := stay[0]
	c.requireShows(most, "19", string(make([]byte, 200)))
	for _, name := range c.names {
		if name != most && name != lags {
			c.stop(name)
		}
	}
	c.net.isolate(lags, false)
	members := []Node{{Name: most}, {Name: lags}}
	_, err := c.nodes[lags].Recover(soon(t), members)
	require.ErrorContains(t, err, "recover there")
	_, err = c.nodes[most].Recover(soon(t), append(members, Node{Name: stay[1]}))
	require.ErrorContains(t, err, "start it first")
	_, err = c.nodes[most].Recover(soon(t), members)
	require.NoError(t, err)
	c.requireShows(lags, "19", string(make([]byte, 200)))
	c.put("after", "the loss")
	c.requireShows(lags, "after", "the loss")
	require.Len(t, c.nodes[lags].Status().Members, 2)
	c.requireAlike()
}

func TestMembersThatMakeNoSenseAreRefused(t *testing.T) {
	c := newTrio(t)
	last := c.follower()
	for _, name := range c.names {
		if name != last {
			c.stop(name)
		}
	}
	for _, row := range []struct {
		name    string
		members []Node
		want    string
	}{
		{"none", nil, "isn't among the new ones"},
		{"a node that was no member", []Node{{Name: last}, {Name: "stranger"}}, `"stranger" is no member`},
		{"one twice", []Node{{Name: last}, {Name: last}}, "named twice"},
	} {
		_, err := c.nodes[last].Recover(soon(t), row.members)
		require.ErrorIs(t, err, ErrMember, row.name)
		require.ErrorContains(t, err, row.want, row.name)
	}
}

// TestCloseWaitsForARecovery closes a node between two runs of the consensus. The directory is the next process's afterwards: whatever the
// recovery wrote into it then would replace that one's vote.
func TestCloseWaitsForARecovery(t *testing.T) {
	c := newTrio(t, "alone")
	node := c.nodes["alone"]
	begun, wait, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- node.renewAfter(func() error {
			close(begun)
			<-wait
			return node.stable.Set([]byte("written"), []byte("late"))
		})
	}()
	<-begun
	time.AfterFunc(300*time.Millisecond, func() { close(wait) })
	c.stop("alone")
	read := func() string {
		text, err := os.ReadFile(filepath.Join(c.dir, "alone", consensusName))
		require.NoError(t, err)
		return string(text)
	}
	closed := read()
	require.NoError(t, <-done)
	require.Equal(t, closed, read())
	require.Contains(t, closed, "late")
	require.ErrorIs(t, node.renewAfter(func() error { return errors.New("it is closed") }), ErrClosed)
}

// closedBook is a log of which raft can't read where it ends, once it is shut.
type closedBook struct {
	raft.LogStore
	shut atomic.Bool
}

var errShut = errors.New("the book is closed")

func (b *closedBook) LastIndex() (uint64, error) {
	if b.shut.Load() {
		return 0, errShut
	}
	return b.LogStore.LastIndex()
}

// TestANodeWhoseNextRunDoesNotStartIsStopped shows that such a node says so, instead of being restarted for ever.
func TestANodeWhoseNextRunDoesNotStartIsStopped(t *testing.T) {
	book := &closedBook{}
	c := newTrioWith(t, func(o *Options) {
		o.log = func(log raft.LogStore) raft.LogStore {
			book.LogStore = log
			return book
		}
	}, "alone")
	node := c.nodes["alone"]
	book.shut.Store(true)
	require.ErrorContains(t, node.renewAfter(func() error { return nil }), errShut.Error())
	err := node.Ready(soon(t))
	require.ErrorIs(t, err, ErrStopped)
	require.ErrorContains(t, err, errShut.Error())
	_, err = node.Members(soon(t))
	require.ErrorIs(t, err, ErrStopped)
	book.shut.Store(false)
	c.stop("alone")
	c.open("alone")
	c.put("key", "value")
}
