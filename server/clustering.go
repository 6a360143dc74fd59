package server

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// clusteringCommands are about the nodes of a replicated store. To clients of a Redis cluster it is one master, which has all slots, and its
// replicas.
var clusteringCommands = []command{
	{name: "cluster", arity: -2, class: onSession, always: confined, under: []command{
		{name: "cluster|slots", arity: 2, class: onSession, run: inCluster(clusterSlots), always: confined},
		{name: "cluster|shards", arity: 2, class: onSession, run: inCluster(clusterShards), always: confined},
		{name: "cluster|nodes", arity: 2, class: onSession, run: inCluster(clusterNodes), always: confined},
		{name: "cluster|info", arity: 2, class: onSession, run: inCluster(clusterInfo), always: confined},
		{name: "cluster|myid", arity: 2, class: onSession, run: inCluster(clusterMyID), always: confined},
		{name: "cluster|keyslot", arity: 3, class: onSession, run: inCluster(clusterKeySlot), always: confined},
	}},
	{name: "readonly", arity: 1, class: onSession, run: inCluster(func(c *call, _ []Member) { c.readOnly(true) }), always: confined, connects: true},
	{name: "readwrite", arity: 1, class: onSession, run: inCluster(func(c *call, _ []Member) { c.readOnly(false) }), always: confined, connects: true},
	{name: "asking", arity: 1, class: onSession, run: inCluster(func(c *call, _ []Member) { c.ok() }), always: confined},
	{name: "role", arity: 1, class: onSession, run: role, always: confined},
	{name: "wait", arity: 3, class: onSession, run: wait, always: confined},
}

// inCluster refuses a command where there is one store alone.
func inCluster(run func(c *call, members []Member)) func(c *call) {
	return func(c *call) {
		if cluster := c.session.server.opts.Cluster; cluster == nil {
			c.fail(errNoCluster)
		} else {
			run(c, cluster.Members())
		}
	}
}

// readOnly says whether reads of the connection may be stale. A guest's are as its client's server says.
func (c *call) readOnly(yes bool) {
	c.session.readOnly = yes && !c.session.guest
	c.ok()
}

// endpoint is where a member's server is.
func (m *Member) endpoint() (host string, port int64) {
	host, text, _ := net.SplitHostPort(m.Address)
	port, _ = strconv.ParseInt(text, 10, 32)
	return host, port
}

// id is a member's name in the form of a Redis cluster's.
func (m *Member) id() string {
	sum := sha256.Sum256([]byte("walnut node " + m.Name))
	return hex.EncodeToString(sum[:20])
}

// shard returns the leader and the other members that answer, of those whose addresses are known. It notes what the client is answered.
func (c *call) shard(members []Member) (shard []Member, known bool) {
	leader, known := leaderOf(members)
	if !known {
		c.fail(errNoLeader)
		return nil, false
	}
	c.session.toldLeader = leader.Name
	shard = append(shard, leader)
	for _, m := range members {
		if m.Name != leader.Name && m.Address != "" && (m.Alive || m.Self) {
			shard = append(shard, m)
		}
	}
	return shard, true
}

func clusterSlots(c *call, members []Member) {
	shard, known := c.shard(members)
	if !known {
		return
	}
	c.array(1)
	c.array(2 + len(shard))
	c.integer(0)
	c.integer(slots - 1)
	for i := range shard {
		host, port := shard[i].endpoint()
		c.array(4)
		c.text(host)
		c.integer(port)
		c.text(shard[i].id())
		c.array(0)
	}
}

func clusterShards(c *call, members []Member) {
	shard, known := c.shard(members)
	if !known {
		return
	}
	c.array(1)
	c.pairs(2)
	c.text("slots")
	c.array(2)
	c.integer(0)
	c.integer(slots - 1)
	c.text("nodes")
	c.array(len(shard))
	for i := range shard {
		c.shardNode(&shard[i], shard[i].Leads)
	}
}

func (c *call) shardNode(m *Member, leads bool) {
	host, port := m.endpoint()
	role := "replica"
	if leads {
		role = "master"
	}
	c.pairs(7)
	c.text("id")
	c.text(m.id())
	c.text("port")
	c.integer(port)
	c.text("ip")
	c.text(host)
	c.text("endpoint")
	c.text(host)
	c.text("role")
	c.text(role)
	c.text("replication-offset")
	c.integer(int64(m.Applied))
	c.text("health")
	c.text("online")
}

// clusterNodes lists all members, with those that don't answer.
func clusterNodes(c *call, members []Member) {
	leader, known := leaderOf(members)
	var page strings.Builder
	for i := range members {
		m := &members[i]
		flags, master, link := "slave", "-", "connected"
		if m.Leads {
			flags = "master"
		} else if known {
			master = leader.id()
		}
		if m.Self {
			flags = "myself," + flags
		} else if !m.Alive {
			flags, link = flags+",fail", "disconnected"
		}
		fmt.Fprintf(&page, "%s %s@0 %s %s 0 0 %d %s", m.id(), m.Address, flags, master, m.Term, link)
		if m.Leads {
			fmt.Fprintf(&page, " 0-%d", slots-1)
		}
		page.WriteString("\n")
	}
	c.session.toldLeader = leader.Name
	c.verbatim(page.String())
}

func clusterInfo(c *call, members []Member) {
	state, epoch, own := "fail", uint64(0), uint64(0)
	for i := range members {
		epoch = max(epoch, members[i].Term)
		if members[i].Leads {
			state = "ok"
		}
		if members[i].Self {
			own = members[i].Term
		}
	}
	c.verbatim(fmt.Sprintf("cluster_state:%s\r\ncluster_slots_assigned:%d\r\ncluster_slots_ok:%[2]d\r\ncluster_slots_pfail:0\r\n"+
		"cluster_slots_fail:0\r\ncluster_known_nodes:%[3]d\r\ncluster_size:1\r\ncluster_current_epoch:%[4]d\r\ncluster_my_epoch:%[5]d\r\n",
		state, slots, len(members), epoch, own))
}

func clusterMyID(c *call, members []Member) {
	for i := range members {
		if members[i].Self {
			c.text(members[i].id())
			return
		}
	}
	c.fail("ERR this node isn't let in yet")
}

func clusterKeySlot(c *call, _ []Member) { c.integer(int64(slotOf(c.args[2]))) }

// role says whether the node leads, with the other members, or which one does.
func role(c *call) {
	cluster, offset := c.session.server.opts.Cluster, int64(c.session.server.store.Offset())
	if cluster == nil || cluster.Term() != 0 {
		c.array(3)
		c.text("master")
		c.integer(offset)
		if cluster == nil {
			c.array(0)
		} else {
			c.roleReplicas(cluster.Members())
		}
		return
	}
	leader, known := leaderOf(cluster.Members())
	host, port, link := "", int64(0), "connect"
	if known {
		host, port = leader.endpoint()
		link = "connected"
	}
	c.array(5)
	c.text("slave")
	c.text(host)
	c.integer(port)
	c.text(link)
	c.integer(offset)
}

func (c *call) roleReplicas(members []Member) {
	replicas := replicasOf(members)
	c.array(len(replicas))
	for i := range replicas {
		host, port := replicas[i].endpoint()
		c.array(3)
		c.text(host)
		c.text(strconv.FormatInt(port, 10))
		c.text(strconv.FormatUint(replicas[i].Applied, 10))
	}
}

// replicasOf returns the members other than this one that answer.
func replicasOf(members []Member) (replicas []Member) {
	for _, m := range members {
		if !m.Self && m.Alive {
			replicas = append(replicas, m)
		}
	}
	return replicas
}

// infoReplication is the section of INFO about the nodes.
func infoReplication(p *infoPage, s *Server) {
	cluster, offset := s.opts.Cluster, s.store.Offset()
	switch {
	case cluster == nil:
		p.field("role", "master")
		p.field("connected_slaves", 0)
		p.field("master_replid", s.runID)
		p.field("master_repl_offset", offset)
	case cluster.Term() != 0:
		replicas := replicasOf(cluster.Members())
		p.field("role", "master")
		p.field("connected_slaves", len(replicas))
		for i := range replicas {
			host, port := replicas[i].endpoint()
			p.field(fmt.Sprint("slave", i), fmt.Sprintf("ip=%s,port=%d,state=online,offset=%d,lag=0", host, port, replicas[i].Applied))
		}
		p.field("master_repl_offset", offset)
	default:
		infoFollower(p, cluster, offset)
	}
}

// infoFollower is that section on a node that doesn't lead.
func infoFollower(p *infoPage, cluster Cluster, offset uint64) {
	leader, known := leaderOf(cluster.Members())
	host, port := leader.endpoint()
	link := "down"
	if known {
		link = "up"
	}
	p.field("role", "slave")
	p.field("master_host", host)
	p.field("master_port", port)
	p.field("master_link_status", link)
	p.field("slave_repl_offset", offset)
	p.field("slave_read_only", 0) // What is written is forwarded.
	p.field("connected_slaves", 0)
	p.field("master_repl_offset", max(offset, leader.Applied))
}

// Limits of WAIT.
const (
	waitMost = time.Minute // Also without a timeout: with TLS a client that is gone isn't noticed before.
	// It asks again after an eighth of the time that it has waited, within these limits.
	waitLook     = 20 * time.Millisecond
	waitLookMost = 500 * time.Millisecond
)

// wait answers how many other nodes have everything that the connection has written. An acknowledged write is on most of them.
func wait(c *call) {
	wanted, ok := parseInt(c.args[1])
	if !ok {
		c.fail(errNotInteger)
		return
	}
	timeout, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.fail("ERR timeout is not an integer or out of range")
		return
	case timeout < 0:
		c.fail("ERR timeout is negative")
		return
	}
	limit := waitMost
	if timeout > 0 && timeout < waitMost.Milliseconds() {
		limit = time.Duration(timeout) * time.Millisecond
	}
	if c.session.executing {
		limit = 0 // All writers would wait, too.
	}
	c.integer(c.session.acknowledged(c, wanted, limit))
}
