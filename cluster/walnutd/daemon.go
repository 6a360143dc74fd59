package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/cluster"
)

const (
	headerTimeout = 5 * time.Second
	headerMax     = 16 << 10
	idleTimeout   = time.Minute
	// endTimeout is for requests that are in progress when the node ends.
	endTimeout = 5 * time.Second
)

// daemon is a node with its admin listener, which is there first and ends last: while the node is opened and closed probes get answers.
//
// Invariant: node is nil until the node is open, and stays set when it is closed.
type daemon struct {
	flags *flags
	log   *slog.Logger
	stall time.Duration // How long a backup may make no progress to or from a caller.
	node  atomic.Pointer[cluster.Cluster]
}

func newDaemon(f *flags, stderr io.Writer) *daemon {
	return &daemon{flags: f, log: f.logger(stderr), stall: stallTimeout}
}

// run runs the node until ctx is done, or the admin listener fails. Then it hands the leadership over and closes the node.
func (d *daemon) run(ctx context.Context) (err error) {
	listener, err := d.listen()
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	server := &http.Server{
		Handler: d.routes(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerMax,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer func() { err = errors.Join(err, end(server)) }()
	d.log.Info("admin listener is there", "node", d.flags.options.Node, "address", listener.Addr().String())

	clients, err := d.listenRedis()
	if err != nil {
		return fmt.Errorf("--redis: %w", err)
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
	if err = clients.serve(node); err == nil {
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
	if host, _, _ := net.SplitHostPort(d.flags.admin); isLoopback(host) {
		return listener, nil
	}
	conf, err := d.flags.options.TLS.ServerConfig(d.log)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return tls.NewListener(listener, conf), nil
}

// end ends the admin listener. A request that doesn't end in time, such as a long backup, is cut off, which its caller sees.
func end(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return server.Close()
}

// oneLine returns an error's text in one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
