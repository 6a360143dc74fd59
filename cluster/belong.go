package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// How long a node waits before it asks again to be let in: at first, and at most.
const (
	belongFirst = 50 * time.Millisecond
	belongMost  = time.Second
)

// belong sees to it that this node is a member, as its options say and at its address: it makes the cluster with the others, or asks to be
// let in. It runs when the node is opened, until that is so. A node that was removed doesn't ask by itself.
func (c *Cluster) belong() {
	said := ""
	for pause := belongFirst; ; pause = min(2*pause, belongMost) {
		ctx, cancel := context.WithTimeout(c.ctx, c.opts.DialTimeout)
		done, err := c.tryToBelong(ctx)
		cancel()
		if c.ctx.Err() != nil {
			return
		}
		refused := error(nil)
		if errors.Is(err, ErrMember) || errors.Is(err, ErrPeer) {
			refused = err
		}
		c.standing.set(refused)
		if done {
			return
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			level := slog.LevelInfo
			if refused != nil {
				level = slog.LevelWarn
			}
			c.opts.Logger.Log(c.ctx, level, "node is not in the cluster yet", "node", c.opts.Node, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-c.ctx.Done():
			return
		}
	}
}

// tryToBelong makes one step. done is set once nothing is left to do.
func (c *Cluster) tryToBelong(ctx context.Context) (done bool, err error) {
	servers, err := c.members(ctx)
	if err != nil {
		return errors.Is(err, ErrStopped), err
	}
	place := raft.ServerAddress(placed(c.id, c.port.address))
	at := slices.IndexFunc(servers, func(s raft.Server) bool { return string(s.ID) == c.id })
	switch {
	case at >= 0 && servers[at].Address == place && (servers[at].Suffrage == raft.Voter || c.opts.NonVoter):
		if c.Leader() != (Node{}) {
			return true, nil
		}
		return false, c.askWhetherRemoved(ctx, servers)
	case at < 0 && len(servers) > 0 && c.history.had(c.id, c.replica.Applied()):
		return false, c.removed()
	}
	if isNew := len(servers) == 0 && c.engine().raft.LastIndex() == 0; isNew && c.opts.BootstrapExpect > 0 {
		found, err := c.bootstrap(ctx)
		if err != nil || !found {
			return false, err
		}
	}
	return false, c.Join(ctx)
}

// askWhetherRemoved asks the other members, as this node knows them, for a leader, and that one whether this node is a member still. A node
// that was removed while it didn't listen isn't sent that.
func (c *Cluster) askWhetherRemoved(ctx context.Context, servers []raft.Server) error {
	for _, s := range servers {
		if string(s.ID) == c.id {
			continue
		}
		a, err := c.calls.ask(ctx, string(s.Address), question{Op: opWho})
		if err != nil || a.Leader == "" {
			continue
		}
		if a, err = c.calls.ask(ctx, a.Leader, question{Op: opRead, Node: c.id}); err == nil && errors.Is(a.err(), ErrMember) {
			return c.removed()
		}
	}
	return nil
}

// membership returns why this node is no member, as far as it knows; nil where it is, or may be.
func (c *Cluster) membership() error {
	if why := c.standing.err(); why != nil {
		return why
	}
	servers, err := c.members(c.ctx)
	isSelf := func(s raft.Server) bool { return string(s.ID) == c.id }
	if err == nil && len(servers) > 0 && !slices.ContainsFunc(servers, isSelf) && c.history.had(c.id, c.replica.Applied()) {
		return c.removed()
	}
	return nil
}

func (c *Cluster) removed() error {
	return fmt.Errorf("%w: %q was removed; Cluster.Join, or a new directory, lets it in again", ErrMember, c.opts.Node)
}

// Join asks the nodes of Options.Join, and the members that are known, to let this node in, and returns once the leader has done the next
// step: a new node is let in without a vote, and gets that when it asks again and has caught up. A node that was opened asks by itself
// until it is a member; this is for one that was removed since.
func (c *Cluster) Join(ctx context.Context) error {
	places := make([]string, 0, len(c.opts.Join)+1)
	if leader, _ := c.engine().raft.LeaderWithID(); leader != "" {
		places = append(places, string(leader))
	}
	for _, address := range c.opts.Join {
		if address != c.port.address {
			places = append(places, placed("", address))
		}
	}
	servers, err := c.members(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if string(s.ID) != c.id {
			places = append(places, string(s.Address))
		}
	}
	return c.joinBy(ctx, places)
}

// joinBy asks some nodes, and those that they name as the leader, all at a time: one that is dead may keep its caller waiting.
func (c *Cluster) joinBy(ctx context.Context, places []string) error {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	type outcome struct {
		answer
		err error
	}
	outcomes := make(chan outcome)
	asked := map[string]bool{}
	waiting := 0
	ask := func(place string) {
		if place == "" || asked[place] {
			return
		}
		asked[place] = true
		waiting++
		asking.Go(func() {
			a, err := c.askToJoin(ctx, place)
			select {
			case outcomes <- outcome{a, err}:
			case <-ctx.Done():
			}
		})
	}
	for _, place := range places {
		ask(place)
	}
	var errs []error
	for ; waiting > 0; waiting-- {
		select {
		case got := <-outcomes:
			if got.err == nil {
				return nil
			}
			errs = append(errs, got.err)
			ask(got.Leader)
		case <-ctx.Done():
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("%w: no other node is known: Join is empty", ErrNoLeader)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) }) // The same ones make the same text.
	return errors.Join(errs...)
}

// askToJoin asks one node.
func (c *Cluster) askToJoin(ctx context.Context, place string) (answer, error) {
	q := question{
		Op: opAdmit, Node: c.id, Run: c.run, Address: c.port.address, NonVoter: c.opts.NonVoter, Applied: c.replica.Applied(),
	}
	if place == placed(c.id, c.port.address) {
		return answer{}, c.admit(ctx, q)
	}
	a, err := c.calls.ask(ctx, place, q)
	if err == nil {
		err = a.err()
	}
	return a, err
}
