package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// defaultListen is where serve listens unless an address is given: Redis' port, for this machine alone.
const defaultListen = "127.0.0.1:6379"

// serveFlags are what serve was asked for.
type serveFlags struct {
	listen string
	unix   string
	drain  time.Duration
}

func newServe(a *app) *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the store to the clients of Redis",
		Long: `serve opens the store and serves it over the Redis protocol, until it is
interrupted or gets SIGTERM. Then it answers the commands that have arrived, and
closes the store. A second signal ends it at once.

An answer to a write means that it is durable, unless --sync says otherwise.
The server's guide has the commands, and what differs from Redis.`,
		Example: `  kvctl --dir store serve
  kvctl --dir store serve --listen 127.0.0.1:7777
  kvctl --dir store serve --listen "" --unix store.sock`,
		Args: asUsed,
	}
	cmd.Flags().StringVar(&f.listen, "listen", defaultListen, "the TCP address to listen on; none if it is empty")
	cmd.Flags().StringVar(&f.unix, "unix", "", "the path of a Unix socket to listen on")
	cmd.Flags().DurationVar(&f.drain, "drain", 10*time.Second, "how long to wait for commands in progress at the end")
	cmd.RunE = a.starts(func([]string) error {
		ctx, stop := interruptible()
		defer stop()
		return a.withStoreUntil(ctx, forWriting, func(db *kv.DB) error { return a.serve(ctx, db, f) }, likeAProgram)
	})
	return cmd
}

// likeAProgram makes the store checkpoint by itself: serve is the program that owns the store.
func likeAProgram(o *kv.Options) { o.CheckpointFactor = 0 }

// serve serves a store until ctx is done.
func (a *app) serve(ctx context.Context, db *kv.DB, f *serveFlags) error {
	srv, err := server.New(db, server.Options{Logger: a.logger(a.stderr)})
	if err != nil {
		return err
	}
	listeners, err := f.listeners()
	if err != nil {
		return err
	}
	ended := make(chan error, len(listeners))
	for _, listener := range listeners {
		fmt.Fprintf(a.stderr, "serving on %s\n", listener.Addr())
		go func() { ended <- srv.Serve(context.Background(), listener) }()
	}
	select {
	case <-ctx.Done():
		err = nil
	case err = <-ended:
	}
	drained, cancel := context.WithTimeout(context.Background(), f.drain)
	defer cancel()
	return errors.Join(err, srv.Shutdown(drained))
}

// listeners opens what was asked for.
func (f *serveFlags) listeners() (all []net.Listener, err error) {
	for _, one := range []struct{ network, address string }{{"tcp", f.listen}, {"unix", f.unix}} {
		if one.address == "" {
			continue
		}
		listener, err := net.Listen(one.network, one.address)
		if err != nil {
			for _, open := range all {
				_ = open.Close() // The error says more.
			}
			return nil, err
		}
		all = append(all, listener)
	}
	if len(all) == 0 {
		return nil, usagef("serve: neither --listen nor --unix")
	}
	return all, nil
}
