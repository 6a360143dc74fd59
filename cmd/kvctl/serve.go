package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/internal/mutual"
	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// defaultListen is where serve listens unless an address is given: Redis' port, for this machine alone.
const defaultListen = "127.0.0.1:6379"

// serveFlags are what serve was asked for.
type serveFlags struct {
	listen     string
	unix       string
	tls        mutual.Files
	users      string
	password   string
	admin      string
	maxMemory  byteSize
	maxClients int
	idle       time.Duration
	drain      time.Duration
	checkpoint bool
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
docs/server.md has the commands, what differs from Redis, and the format of the
file of users. That file, and those of TLS, are read again after they have
changed; SIGHUP does so at once.`,
		Example: `  kvctl --dir store serve
  kvctl --dir store serve --listen 127.0.0.1:7777 --admin 127.0.0.1:7778
  kvctl --dir store serve --listen "" --unix store.sock --max-memory 2GiB`,
		Args: asUsed,
	}
	f.addTo(cmd)
	cmd.PreRunE = notEmpty("users", "password-file", "tls-cert", "tls-key", "tls-ca", "admin", "unix")
	cmd.RunE = a.starts(func([]string) error {
		if err := f.check(); err != nil {
			return err
		}
		a.serving = true
		return a.runServe(f)
	})
	return cmd
}

func (f *serveFlags) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", defaultListen, "the TCP address to listen on; none if it is empty")
	flags.StringVar(&f.unix, "unix", "", "the path of a Unix socket to listen on")
	flags.StringVar(&f.tls.Cert, "tls-cert", "", "a file with the certificate for --listen and --admin")
	flags.StringVar(&f.tls.Key, "tls-key", "", "a file with its private key")
	flags.StringVar(&f.tls.Authority, "tls-ca", "", "a file with the authority that clients need a certificate of")
	flags.StringVar(&f.users, "users", "", "a file with the users; without one everybody may do everything")
	flags.StringVar(&f.password, "password-file", "", "a file with the password of the one user, default")
	flags.StringVar(&f.admin, "admin", "", "the address for probes, metrics and profiles")
	flags.Var(&f.maxMemory, "max-memory", "how much memory may be in use before writes are refused, such as 2GiB")
	flags.IntVar(&f.maxClients, "max-clients", server.DefaultMaxClients, "how many connections there may be")
	flags.DurationVar(&f.idle, "idle-timeout", 0, "how long a client may be silent before it is closed (default: for good)")
	flags.DurationVar(&f.drain, "drain", 10*time.Second, "how long to wait for commands in progress at the end")
	flags.BoolVar(&f.checkpoint, "checkpoint-on-close", false, "take a checkpoint at the end, for a faster start")
	for _, name := range []string{"unix", "tls-cert", "tls-key", "tls-ca", "users", "password-file"} {
		completeFiles(cmd, name)
	}
}

// check refuses flags that don't go together.
func (f *serveFlags) check() error {
	for _, one := range []struct{ flag, address string }{{"listen", f.listen}, {"admin", f.admin}} {
		if _, _, err := net.SplitHostPort(one.address); one.address != "" && err != nil {
			return usagef("serve: --%s: %w", one.flag, err)
		}
	}
	switch {
	case f.listen == "" && f.unix == "":
		return usagef("serve: neither --listen nor --unix")
	case (f.tls.Cert == "") != (f.tls.Key == ""), f.tls.Authority != "" && f.tls.Cert == "":
		return usagef("serve: want --tls-cert and --tls-key together, and --tls-ca with them alone")
	case f.users != "" && f.password != "":
		return usagef("serve: want one of --users and --password-file")
	case f.maxClients < 1:
		return usagef("serve: --max-clients %d: want 1 or more", f.maxClients)
	case f.idle < 0:
		return usagef("serve: --idle-timeout %v is negative", f.idle)
	case f.drain < 0:
		return usagef("serve: --drain %v is negative", f.drain)
	case f.admin != "" && !f.hasTLS() && !isLocal(f.admin):
		return usagef("serve: --admin %s: it is no loopback address, which needs --tls-cert and --tls-key", f.admin)
	}
	return nil
}

func (f *serveFlags) hasTLS() bool { return f.tls.Cert != "" }

// isLocal reports whether only this machine reaches an address.
func isLocal(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && admin.IsLoopback(host)
}

// daemon is a store that is served.
type daemon struct {
	app   *app
	flags *serveFlags
	certs *mutual.Certificates // Nil without TLS.
	admin *adminListener       // Nil without one.

	file    *server.UsersFile
	users   *server.Users    // Those in it at the start; nil without a file.
	hangups <-chan os.Signal // Where each SIGHUP arrives.
}

// runServe serves the store until it is interrupted. The admin listener is there first and ends last: while the store is opened and closed,
// probes get answers.
func (a *app) runServe(f *serveFlags) (err error) {
	ctx, stop := interruptibleBy(os.Interrupt, syscall.SIGTERM) // SIGHUP has another meaning for a server.
	defer stop()
	hangups, ignore := hangups() // Without users too: a SIGHUP that nothing takes ends the process.
	defer ignore()
	log := a.logger(a.stderr)
	d := &daemon{app: a, flags: f, file: f.usersFile(log), hangups: hangups}
	if f.hasTLS() {
		if d.certs, err = mutual.Open(f.tls, log); err != nil {
			return fmt.Errorf("serve: certificates: %w", err)
		}
	}
	if d.users, err = d.file.Read(); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	if d.admin, err = d.openAdmin(log); err != nil {
		return fmt.Errorf("serve: --admin: %w", err)
	}
	defer func() { err = errors.Join(err, d.admin.end()) }()
	f.limitHeap()
	err = a.withStoreUntil(ctx, forWriting, func(db *kv.DB) error { return d.serve(ctx, db) }, likeAProgram)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return whyEnded(ctx, err) // It was to end before the store was open.
	}
	return err
}

// likeAProgram makes the store checkpoint by itself: serve is the program that owns the store.
func likeAProgram(o *kv.Options) { o.CheckpointFactor = 0 }

// limitHeap lets the collector keep the process within a quarter more than --max-memory, unless the environment has a limit.
func (f *serveFlags) limitHeap() {
	if limit := int64(f.maxMemory); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit + min(limit/4, math.MaxInt64-limit))
	}
}

// serve serves an open store until ctx is done.
func (d *daemon) serve(ctx context.Context, db *kv.DB) error {
	log := d.app.logger(d.app.stderr)
	srv, err := server.New(db, server.Options{
		Logger: log, MaxClients: d.flags.maxClients, MaxMemory: int64(d.flags.maxMemory), IdleTimeout: d.flags.idle, Users: d.users,
	})
	if err != nil {
		return err
	}
	listeners, err := d.listeners()
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	living, end := context.WithCancel(context.Background())
	defer end()
	go d.file.Watch(living, d.hangups, srv.SetUsers)
	if d.certs != nil {
		go d.certs.Watch(living)
	}
	ended := make(chan error, len(listeners))
	for _, listener := range listeners {
		fmt.Fprintf(d.app.stderr, "serving on %s\n", listener.Addr())
		go func() { ended <- srv.Serve(living, listener) }()
	}
	d.admin.opened(db, srv)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-ended:
	}
	d.admin.drains()
	return errors.Join(err, d.close(db, srv))
}

// close ends the server: it answers what has arrived, and takes the checkpoint that was asked for.
func (d *daemon) close(db *kv.DB, srv *server.Server) error {
	drained, cancel := context.WithTimeout(context.Background(), d.flags.drain)
	defer cancel()
	err := srv.Shutdown(drained)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // With 0 that was asked for.
		if d.flags.drain > 0 {
			err = fmt.Errorf("serve: --drain %v is over: connections were broken off", d.flags.drain)
		}
	}
	if d.flags.checkpoint {
		_, failed := db.Checkpoint(context.Background())
		err = errors.Join(err, failed)
	}
	return err
}
