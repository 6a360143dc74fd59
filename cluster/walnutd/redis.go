package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/internal/mutual"
	"github.com/walnutkv/walnut/server"
)

const (
	surveyEvery   = time.Second // How often the members are asked how far they are.
	surveyTimeout = time.Second
	// clientsTimeout is for what clients have begun when the node ends.
	clientsTimeout = 5 * time.Second
)

// redis is the listener of a node for clients of the Redis protocol, and its server.
type redis struct {
	daemon   *daemon
	listener net.Listener
	file     server.UsersFile
	users    *server.Users // Those in it at the start; nil without a file.
	server   *server.Server
	ended    chan error         // What Serve returned.
	stop     context.CancelFunc // Ends what looks at the members and at the file.
}

// listenRedis reads the users and opens the listener; nil without --redis. Nothing is served before the node is open.
func (d *daemon) listenRedis() (*redis, error) {
	if d.flags.redis == "" {
		return nil, nil
	}
	r := &redis{daemon: d, file: server.UsersFile{Path: d.flags.redisUsers, Logger: d.log}, ended: make(chan error, 1)}
	var err error
	if r.users, err = r.file.Read(); err != nil {
		return nil, fmt.Errorf("--redis-users: %w", err)
	}
	if r.listener, err = d.redisListener(); err != nil {
		return nil, fmt.Errorf("--redis: %w", err)
	}
	return r, nil
}

func (d *daemon) redisListener() (net.Listener, error) {
	listener, err := net.Listen("tcp", d.flags.redis)
	if err != nil {
		return nil, err
	}
	if host, _, _ := net.SplitHostPort(d.flags.redis); admin.IsLoopback(host) || d.flags.redisInsecure {
		return listener, nil
	}
	files := d.flags.options.TLS
	certificates, err := mutual.Open(mutual.Files{Cert: files.CertFile, Key: files.KeyFile, Authority: files.CAFile}, d.log)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return tls.NewListener(listener, certificates.Server(tls.RequireAndVerifyClientCert, tls.VersionTLS12)), nil
}

// address returns where clients reach the listener; empty where there is none.
func (r *redis) address() string {
	switch {
	case r == nil:
		return ""
	case r.daemon.flags.redisAdvertise != "":
		return r.daemon.flags.redisAdvertise
	}
	return r.listener.Addr().String()
}

// serve serves a node that is open. After each of the hangups the users are read again.
func (r *redis) serve(node *cluster.Cluster, hangups <-chan os.Signal) (err error) {
	if r == nil {
		return nil
	}
	living, stop := context.WithCancel(context.Background())
	r.stop = stop
	all := &peers{node: node, name: r.daemon.flags.options.Node}
	r.server, err = server.New(node.DB(), server.Options{Logger: r.daemon.log, Users: r.users, Cluster: all})
	if err != nil {
		return err
	}
	r.daemon.server.Store(r.server)
	go all.poll(living)
	go r.file.Watch(living, hangups, r.server.SetUsers)
	node.ServeDialled(r.server.ServeForwarded)
	go func() { r.ended <- r.server.Serve(context.Background(), r.listener) }()
	r.daemon.log.Info("clients are served", "node", all.name, "address", r.address())
	return nil
}

// failed returns a channel that has an error once clients can't be served any more.
func (r *redis) failed() <-chan error {
	if r == nil {
		return nil
	}
	return r.ended
}

// end ends what clients have begun, and the listener. Another node leads first, so that what other nodes forward goes there.
func (r *redis) end(node *cluster.Cluster) error {
	if r == nil {
		return nil
	}
	if r.server == nil {
		return r.listener.Close()
	}
	defer r.stop()
	ctx, cancel := context.WithTimeout(context.Background(), clientsTimeout)
	defer cancel()
	if node.Leads() {
		if err := node.Transfer(ctx, ""); err != nil {
			r.daemon.log.Info("leadership was not handed over yet", "error", err)
		}
	}
	if err := r.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // Clients were cut off, which they see.
}

// peers are the nodes of the cluster as the server knows them.
type peers struct {
	node *cluster.Cluster
	name string
	seen atomic.Pointer[[]server.Member] // Since the last survey. It doesn't change.
}

var _ server.Cluster = (*peers)(nil)

// poll asks the members until ctx is done.
func (p *peers) poll(ctx context.Context) {
	for {
		asking, cancel := context.WithTimeout(ctx, surveyTimeout)
		members := p.ask(asking)
		cancel()
		p.seen.Store(&members)
		select {
		case <-time.After(surveyEvery):
		case <-ctx.Done():
			return
		}
	}
}

// ask returns what the members say now.
func (p *peers) ask(ctx context.Context) (members []server.Member) {
	before := map[string]string{}
	if seen := p.seen.Load(); seen != nil {
		for _, m := range *seen {
			before[m.Name] = m.Address
		}
	}
	for _, r := range p.node.Survey(ctx) {
		m := server.Member{
			Name: r.Name, Address: r.Status.Announced, Self: r.Name == p.name, Voter: r.Voter, Alive: r.Err == nil, Term: r.Status.Term,
			Applied: r.Status.Applied,
		}
		if r.Err != nil {
			m.Address = before[r.Name] // As it said last.
		}
		members = append(members, m)
	}
	return p.led(members)
}

// led notes which member leads now.
func (p *peers) led(members []server.Member) []server.Member {
	leader := p.node.Leader().Name
	for i := range members {
		members[i].Leads = leader != "" && members[i].Name == leader
	}
	return members
}

// Members implements server.Cluster.
func (p *peers) Members() []server.Member {
	seen := p.seen.Load()
	if seen == nil {
		return nil
	}
	return p.led(append([]server.Member(nil), *seen...))
}

// Survey implements server.Cluster.
func (p *peers) Survey(ctx context.Context) []server.Member { return p.ask(ctx) }

// Term implements server.Cluster.
func (p *peers) Term() uint64 { return p.node.Term() }

// Linearizable implements server.Cluster.
func (p *peers) Linearizable(ctx context.Context) error { return p.node.Linearizable(ctx) }

// Stale implements server.Cluster.
func (p *peers) Stale(ctx context.Context, bound time.Duration) error {
	return p.node.Stale(ctx, bound)
}

// DialLeader implements server.Cluster.
func (p *peers) DialLeader(ctx context.Context) (net.Conn, error) { return p.node.DialLeader(ctx) }
