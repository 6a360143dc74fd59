package server

import (
	"context"
	"time"
)

// acknowledged returns how many other nodes have everything that was acknowledged before the call. As long as they are fewer than wanted it
// asks them again, until limit is over.
func (s *session) acknowledged(c *call, wanted int64, limit time.Duration) int64 {
	cluster := s.server.opts.Cluster
	if cluster == nil {
		return 0
	}
	sure := majority(cluster.Members())
	if wanted <= sure || limit == 0 {
		return sure
	}
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	if err := cluster.Linearizable(ctx); err != nil {
		return sure
	}
	offset, began := s.server.store.Offset(), time.Now()
	for {
		members := cluster.Survey(ctx)
		have := max(majority(members), showing(members, offset))
		if have >= wanted || !s.pause(ctx, min(max(time.Since(began)/8, waitLook), waitLookMost)) {
			return have
		}
	}
}

// majority returns how many nodes other than the leader have every acknowledged write.
func majority(members []Member) (others int64) {
	for i := range members {
		if members[i].Voter {
			others++
		}
	}
	return others / 2
}

// showing returns how many members show the entry with an offset, besides the one that leads.
func showing(members []Member, offset uint64) (others int64) {
	for i := range members {
		if m := &members[i]; m.Alive && m.Applied >= offset {
			others++
		}
	}
	return others - 1
}
