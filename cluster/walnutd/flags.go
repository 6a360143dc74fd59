package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/internal/admin"
)

// usage is what --help prints, in 80 columns. A test compares it with the flags.
const usage = `walnutd is one node of a replicated Walnut store.

Usage:
  walnutd --dir DIR --cluster NAME --id NAME --listen ADDR [FLAGS]

Example, one of three on one machine:
  walnutd --dir data/a --cluster demo --id a --listen 127.0.0.1:7001 \
    --join 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 \
    --bootstrap-expect 3 --insecure --admin 127.0.0.1:7071

The node:
  --dir DIR              its directory, which is made if it is missing
  --cluster NAME         the cluster's name, the same on all nodes and for good
  --id NAME              the node's name; it keeps it when its address changes
  --listen ADDR          the address to listen on for other nodes
  --advertise ADDR       where other nodes reach it (default: --listen)
  --join ADDR,…          nodes of the cluster, this one may be among them
  --bootstrap-expect N   make a cluster once all N nodes of --join are there,
                         and none has ever been in one; otherwise it is ignored
  --nonvoter             get everything, and never vote or lead
  --archive DIR          where to keep what checkpoints take from the log, for a
                         restore to any moment: outside --dir, this node's alone

Certificates, which are read again after they have changed:
  --cert FILE            the node's certificate
  --key FILE             its private key
  --ca FILE              the authority's certificates
  --insecure             none of these, on loopback addresses only

Clients of the Redis protocol:
  --redis ADDR           the address to serve them on; none by default. One that
                         isn't loopback has TLS by --cert, and is for clients
                         that have a certificate of --ca
  --redis-advertise ADDR where clients reach it (default: --redis)
  --redis-users FILE     who may do what, in lines of Redis' ACL files; without
                         it everybody may do everything. All nodes need the same
                         ones. It is read again after it has changed; SIGHUP
                         does so at once
  --redis-insecure       no TLS on any address: everybody who reaches it reads
                         and writes, unless there are users

Operation:
  --admin ADDR           the address for operators, probes and metrics (default
                         127.0.0.1:7070); one that isn't loopback needs --cert
  --log-format text|json how lines of the log are written (default text)
  --log-level LEVEL      debug, info, warn or error (default info)
  --heartbeat TIME       how long a follower without word from the leader waits
                         before it stands for election (default 1.3s)
  --lease TIME           how long a leader without word from most nodes leads
                         (default 1s)
  --slow-sync TIME       how long one write to the log may take before the node
                         stops taking part (default 5s)
  --handover TIME        how long to wait at the end for another node to lead
                         (default 5s)
  --ready-lag N          how many entries a node may lack and be ready (default
                         4096)

SIGTERM or an interrupt hands the leadership over and ends; a second one ends at
once. Exit codes: 0 done, 1 failed, 2 wrong usage, 4 damage found.
`

// usageError is an error of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format+" (see walnutd --help)", args...)}
}

// flags are a command line.
type flags struct {
	help  bool
	dir   string
	admin string

	redis          string
	redisAdvertise string
	redisUsers     string
	redisInsecure  bool

	logFormat string
	logLevel  slog.Level
	options   cluster.Options // Without a logger.
}

// addresses is a flag with some addresses, which may be repeated.
type addresses []string

func (a *addresses) String() string { return strings.Join(*a, ",") }

// Set adds addresses.
func (a *addresses) Set(text string) error {
	for address := range strings.SplitSeq(text, ",") {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return err
		}
		*a = append(*a, address)
	}
	return nil
}

// newFlagSet returns a set that fills f.
func newFlagSet(f *flags) *flag.FlagSet {
	set, o := flag.NewFlagSet("walnutd", flag.ContinueOnError), &f.options
	set.SetOutput(io.Discard)
	set.StringVar(&f.dir, "dir", "", "")
	set.StringVar(&o.Cluster, "cluster", "", "")
	set.StringVar(&o.Node, "id", "", "")
	set.StringVar(&o.Listen, "listen", "", "")
	set.StringVar(&o.Advertise, "advertise", "", "")
	set.Var((*addresses)(&o.Join), "join", "")
	set.IntVar(&o.BootstrapExpect, "bootstrap-expect", 0, "")
	set.BoolVar(&o.NonVoter, "nonvoter", false, "")
	set.StringVar(&o.Store.ArchiveDir, "archive", "", "")
	set.StringVar(&o.TLS.CertFile, "cert", "", "")
	set.StringVar(&o.TLS.KeyFile, "key", "", "")
	set.StringVar(&o.TLS.CAFile, "ca", "", "")
	set.BoolVar(&o.Insecure, "insecure", false, "")
	set.StringVar(&f.admin, "admin", admin.DefaultAddress, "")
	set.StringVar(&f.redis, "redis", "", "")
	set.StringVar(&f.redisAdvertise, "redis-advertise", "", "")
	set.StringVar(&f.redisUsers, "redis-users", "", "")
	set.BoolVar(&f.redisInsecure, "redis-insecure", false, "")
	set.StringVar(&f.logFormat, "log-format", "text", "")
	set.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "")
	set.DurationVar(&o.Heartbeat, "heartbeat", cluster.DefaultHeartbeat, "")
	set.DurationVar(&o.Lease, "lease", 0, "")
	set.DurationVar(&o.SlowSync, "slow-sync", cluster.DefaultSlowSync, "")
	set.DurationVar(&o.Handover, "handover", cluster.DefaultHandover, "")
	set.Uint64Var(&o.ReadyLag, "ready-lag", cluster.DefaultReadyLag, "")
	return set
}

// parseFlags reads a command line. Where help is asked for it prints that.
func parseFlags(args []string, stdout io.Writer) (f *flags, err error) {
	f = &flags{}
	set := newFlagSet(f)
	if err := set.Parse(args); err == flag.ErrHelp {
		f.help = true
		_, err = io.WriteString(stdout, usage)
		return f, err
	} else if err != nil {
		return nil, usagef("%w", err)
	}
	if set.NArg() > 0 {
		return nil, usagef("%q is no flag", set.Arg(0))
	}
	var empty error
	set.Visit(func(one *flag.Flag) { // An unset variable must not let everybody in, or keep nothing.
		if slices.Contains([]string{"redis", "redis-users", "archive"}, one.Name) && one.Value.String() == "" {
			empty = usagef("--%s is empty; leave it out for the default", one.Name)
		}
	})
	if empty != nil {
		return nil, empty
	}
	return f, f.check()
}

// check refuses what the cluster's options don't.
func (f *flags) check() error {
	for _, needed := range []struct{ flag, value string }{
		{"dir", f.dir},
		{"cluster", f.options.Cluster},
		{"id", f.options.Node},
		{"listen", f.options.Listen},
	} {
		if needed.value == "" {
			return usagef("--%s is missing", needed.flag)
		}
	}
	if f.logFormat != "text" && f.logFormat != "json" {
		return usagef("--log-format %s: want text or json", f.logFormat)
	}
	host, _, err := net.SplitHostPort(f.admin)
	if err != nil {
		return usagef("--admin: %w", err)
	}
	if !admin.IsLoopback(host) && f.options.Insecure {
		return usagef("--admin %s: it is no loopback address, which needs --cert, --key and --ca", f.admin)
	}
	if err := f.checkRedis(); err != nil {
		return err
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"heartbeat", f.options.Heartbeat},
		{"lease", f.options.Lease},
		{"slow-sync", f.options.SlowSync},
		{"handover", f.options.Handover},
	} {
		if d.value < 0 {
			return usagef("--%s %v is negative", d.flag, d.value)
		}
	}
	return nil
}

// checkRedis checks the flags about clients.
func (f *flags) checkRedis() error {
	if f.redis == "" {
		if f.redisAdvertise != "" || f.redisUsers != "" || f.redisInsecure {
			return usagef("--redis is missing")
		}
		return nil
	}
	host, _, err := net.SplitHostPort(f.redis)
	if err != nil {
		return usagef("--redis: %w", err)
	}
	if ip := net.ParseIP(host); f.redisAdvertise == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		return usagef("--redis %s: clients can't reach that; --redis-advertise is missing", f.redis)
	}
	if f.redisAdvertise != "" {
		if _, _, err := net.SplitHostPort(f.redisAdvertise); err != nil {
			return usagef("--redis-advertise: %w", err)
		}
	}
	if !admin.IsLoopback(host) && f.options.Insecure && !f.redisInsecure {
		return usagef("--redis %s: it is no loopback address, which needs --cert, --key and --ca, or --redis-insecure", f.redis)
	}
	return nil
}

// logger returns what the node logs to.
func (f *flags) logger(to io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: f.logLevel}
	if f.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(to, opts))
	}
	return slog.New(slog.NewTextHandler(to, opts))
}
