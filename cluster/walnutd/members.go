package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/internal/admin"
)

// status says who leads and how far each node is, as they say themselves now.
func (d *daemon) status(r *http.Request, node *cluster.Cluster) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	s := admin.Status{Kind: admin.KindCluster, Cluster: d.flags.options.Cluster, Node: d.flags.options.Node, Leader: node.Leader().Name}
	for _, report := range node.Survey(ctx) {
		s.Term = max(s.Term, report.Status.Term)
		s.Nodes = append(s.Nodes, nodeOf(report))
	}
	return s, nil
}

func nodeOf(r cluster.Report) admin.Node {
	s := r.Status
	n := admin.Node{
		Member: memberOf(admin.KindNode, r.Node), Role: s.Role, Leader: s.Leader.Name, Term: s.Term, Committed: s.Committed, Applied: s.Applied,
		Checksum: s.Checksum.String(), Lag: r.Lag, First: s.First, Last: s.Last, Snapshot: s.Snapshot, Knows: s.Knows,
	}
	if s.Trouble != nil {
		n.Trouble = admin.OneLine(s.Trouble)
	}
	if r.Err != nil {
		n.Error = admin.OneLine(r.Err)
	}
	return n
}

func memberOf(kind string, n cluster.Node) admin.Member {
	return admin.Member{Kind: kind, Name: n.Name, Address: n.Address, Voter: n.Voter, Leads: n.Leads}
}

func membersOf(nodes []cluster.Node) []admin.Member {
	members := []admin.Member{}
	for _, n := range nodes {
		members = append(members, memberOf(admin.KindMember, n))
	}
	return members
}

// members lists the members, as far as this node knows them.
func members(r *http.Request, node *cluster.Cluster) (any, error) {
	nodes, err := node.Members(r.Context())
	return admin.Members{Kind: admin.KindMembers, Members: membersOf(nodes)}, err
}

// join lets a new node in.
func join(r *http.Request, node *cluster.Cluster) (any, error) {
	var want admin.Join
	if err := read(r, &want); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
	defer cancel()
	return admin.Result{Kind: admin.KindResult, Node: want.Node}, node.Add(ctx, want.Node, want.Address)
}

// transferAsk is how often a transfer looks whether the other node leads.
const transferAsk = 5 * time.Millisecond

var errNotLed = errors.New("doesn't lead yet")

// transfer lets another node lead, and answers once one does.
func transfer(r *http.Request, node *cluster.Cluster) (any, error) {
	return change(r, func(ctx context.Context, name string) (string, error) {
		before := node.Leader().Name
		if err := node.Transfer(ctx, name); err != nil {
			return "", err
		}
		for {
			leads := node.Leader().Name
			if leads != "" && (leads == name || name == "" && leads != before) {
				return leads, nil
			}
			select {
			case <-time.After(transferAsk):
			case <-ctx.Done():
				return "", fmt.Errorf("transfer: the node was told to lead, and %w; ask who leads", errNotLed)
			}
		}
	})
}

var errNoNode = errors.New("which node? Its name is missing")

// remove removes a member.
func remove(r *http.Request, node *cluster.Cluster) (any, error) {
	return change(r, func(ctx context.Context, name string) (string, error) {
		if name == "" {
			return "", badRequestError{errNoNode}
		}
		return name, node.Remove(ctx, name)
	})
}

// change makes a change that is about one node, for as long as that may take.
func change(r *http.Request, do func(ctx context.Context, name string) (about string, err error)) (any, error) {
	var want admin.Change
	if err := read(r, &want); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
	defer cancel()
	about, err := do(ctx, want.Node)
	return admin.Result{Kind: admin.KindResult, Node: about}, err
}

// recovery gives a cluster that has lost most of its voters other members, or says what that would do.
func recovery(r *http.Request, node *cluster.Cluster) (any, error) {
	var want admin.Recover
	if err := read(r, &want); err != nil {
		return nil, err
	}
	var members []cluster.Node
	for _, m := range want.Members {
		members = append(members, cluster.Node{Name: m.Name, Address: m.Address})
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
	defer cancel()
	do := node.PlanRecovery
	if want.Apply {
		do = node.Recover
	}
	plan, err := do(ctx, members)
	return admin.Recovery{
		Kind: admin.KindRecovery, Node: node.Status().Node, Members: membersOf(plan.Members), Dropped: membersOf(plan.Dropped),
		Last: plan.Last, Applied: want.Apply,
	}, err
}
