package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/server"
)

// daemon is a node with its admin listener, which is there first and ends last: while the node is opened and closed probes get answers.
//
// Invariant: node is nil until the node is open, and stays set when it is closed.
type daemon struct {
	flags *flags
	log   *slog.Logger
	stall time.Duration // How long a backup may make no progress to or from a caller.
	node  atomic.Pointer[cluster.Cluster]
	// server is that for clients, nil before the node is open and without --redis.
	server atomic.Pointer[server.Server]
}

func newDaemon(f *flags, stderr io.Writer) *daemon {
	return &daemon{flags: f, log: f.logger(stderr), stall: stallTimeout}
}

// run runs the node until ctx is done, or the admin listener fails. Then it hands the leadership over and closes the node.
func (d *daemon) run(ctx context.Context) (err error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // Without users too: a SIGHUP that nothing takes ends the process.
	defer signal.Stop(hangups)
	listener, err := d.listen()
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	operators := admin.NewServer(d.routes(), d.log)
	failed := make(chan error, 1)
	go func() { failed <- operators.Serve(listener) }()
	defer func() { err = errors.Join(err, admin.End(operators)) }()
	d.log.Info("admin listener is there", "node", d.flags.options.Node, "address", listener.Addr().String())

	clients, err := d.listenRedis()
	if err != nil {
		return err
	}
	opts := d.flags.options
	opts.Logger, opts.Announce = d.log, clients.address()
	node, err := cluster.Open(ctx, d.flags.dir, opts)
	if err != nil {
		if ctx.Err() != nil {
			err = nil // It was to end before it was open.
		}
		return errors.Join(err, clients.end(nil))
	}
	d.node.Store(node)
	d.log.Info("node is open", "node", opts.Node, "dir", d.flags.dir)
	if err = clients.serve(node, hangups); err == nil {
		select {
		case <-ctx.Done():
			d.log.Info("node ends", "node", opts.Node)
		case err = <-failed:
		case err = <-clients.failed():
		}
	}
	return errors.Join(err, clients.end(node), node.Close())
}

// listen opens the admin listener. Where other machines might reach it, it has the node's certificates.
func (d *daemon) listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", d.flags.admin)
	if err != nil {
		return nil, err
	}
	if host, _, _ := net.SplitHostPort(d.flags.admin); admin.IsLoopback(host) {
		return listener, nil
	}
	conf, err := d.flags.options.TLS.ServerConfig(d.log)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return tls.NewListener(listener, conf), nil
}
