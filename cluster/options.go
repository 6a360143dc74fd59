package cluster

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/kv"
)

// The defaults of Options.
const (
	DefaultHeartbeat    = 1300 * time.Millisecond
	DefaultElection     = 1300 * time.Millisecond
	DefaultLease        = time.Second
	DefaultCommitEvery  = 50 * time.Millisecond
	DefaultDialTimeout  = 10 * time.Second
	DefaultHandover     = 5 * time.Second
	DefaultSlowSync     = 5 * time.Second
	DefaultTrailingLogs = 4096
	DefaultReadyLag     = 4096
)

// Options say how a node takes part in a cluster. Cluster, Node and Listen are required, and so is TLS unless Insecure is set; the zero
// value of everything else works.
type Options struct {
	// Cluster is the cluster's name, the same on all of its nodes and for good. Nodes and snapshots of a cluster with another name are
	// refused.
	Cluster string
	// Node is this node's name in the cluster: 1 to 200 bytes of printable UTF-8 without "@". It stays the same when the address changes. A
	// node whose directory was lost is refused under the old name until the member of that name is removed: it has forgotten its votes.
	Node string

	// Listen is the TCP address to listen on, for everything: nodes have one port. "127.0.0.1:0" takes any port.
	Listen string
	// Advertise is the address under which other nodes reach this one; the one that is listened on by default. At each start the node
	// sees to it that the cluster knows it.
	Advertise string
	// Announce is what the node says of itself besides, such as where its program serves clients: at most 255 bytes of printable ASCII without
	// spaces. Survey has it, of each node.
	Announce string
	// TLS names the files by which nodes prove that they are ones.
	TLS TLS
	// Insecure does without TLS: anybody who reaches the port can change the store. It is for tests on one machine, so Listen and Advertise
	// must be loopback addresses.
	Insecure bool

	// BootstrapExpect is the number of nodes that make a new cluster: as many as Join names. They do so once all of them have been reached,
	// and none has ever been in a cluster. So all are started in the same way, and later starts are no different: it counts only on a node
	// whose directory is empty, where no cluster is found. Zero makes none, and a new node waits to be let in. A node that has made a
	// cluster alone, with 1, and has let others in, needs Join from then on: with an empty directory and nobody to ask it makes another one.
	BootstrapExpect int
	// Join are addresses of nodes of the cluster, this one may be among them. A node that isn't a member asks them to let it in until
	// one does. A node with BootstrapExpect 1 needs none.
	Join []string
	// NonVoter is a node that gets all entries and never votes or leads: it reads, and makes writes neither slower nor safer. Without it a
	// node that has no vote asks for one. A voter stays one: remove it and open it under another name.
	NonVoter bool

	// Store are the options of the store. Those that kv.OpenReplica refuses are refused; the logger is Logger by default. ArchiveDir is for
	// this node alone, and outside its directory, or it is refused. A node that begins again with an empty directory needs an empty one.
	Store kv.Options
	// Logger gets what happens, that of the consensus included; slog.Default() by default.
	Logger *slog.Logger

	// Heartbeat is how long a follower without word from its leader waits before it stands for election, up to three times that. The
	// default, 1.3 s, is more than the consensus proposes, since with all processors busy a node may be late by a second, and each needless
	// election stops all writes; three times that is less than 4 s.
	Heartbeat time.Duration
	// Election is after how long an election without a winner begins again, up to twice that: at least Heartbeat, and 1.3 s by default for
	// the same reason.
	Election time.Duration
	// Lease is how long a leader goes on to lead without word from most nodes: at most Heartbeat. The default is 1 s: half a second was
	// lost on busy machines, and a leader that is cut off should stop before the others have another one.
	Lease time.Duration
	// CommitEvery is how long a follower may wait, twice that at most, to hear what has been agreed upon when no entries follow. 50 ms
	// by default. A Linearizable read on an idle follower may wait for it.
	CommitEvery time.Duration
	// DialTimeout limits connecting to a node, and every single message, but for a snapshot, which gets this for each 256 KiB. 10 s by
	// default: a message carries 4 MiB of entries, or one larger one, and an answer waits for one fsync.
	DialTimeout time.Duration
	// Handover limits how long Close and the watchdog wait for another node to take over the leadership. 5 s by default, where a healthy
	// cluster takes milliseconds.
	Handover time.Duration
	// SlowSync is how long one append to the log may take before the node gives up: it hands over its leadership, if it can, and leaves the
	// consensus for as long as it is open. 5 s by default: longer than any healthy disk, and nobody else would depose a leader whose disk
	// hangs.
	SlowSync time.Duration
	// TrailingLogs is how many entries that a checkpoint has are still sent to a follower that lacks them; one that lacks more gets a whole
	// snapshot. 4096 by default: to send these is faster than to install any but the smallest store, and the log has them until the
	// checkpoint after the next.
	TrailingLogs uint64
	// ReadyLag is how many entries a node may lack and be ready. 4096 by default: well under a second's at full load.
	ReadyLag uint64

	// For tests.
	disk func(entryLog) entryLog           // What the consensus writes to instead of the log.
	log  func(raft.LogStore) raft.LogStore // What raft gets instead of its log.
	now  func() time.Time

	message int    // In place of messageBytes.
	knows   uint64 // In place of newestKind.
}

// withDefaults fills in what is zero and refuses what can't be.
func (o Options) withDefaults() (Options, error) {
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Store.Logger = cmp.Or(o.Store.Logger, o.Logger)
	o.Heartbeat = cmp.Or(o.Heartbeat, DefaultHeartbeat)
	o.Election = cmp.Or(o.Election, max(DefaultElection, o.Heartbeat))
	o.Lease = cmp.Or(o.Lease, min(DefaultLease, o.Heartbeat))
	o.CommitEvery = cmp.Or(o.CommitEvery, DefaultCommitEvery)
	o.DialTimeout = cmp.Or(o.DialTimeout, DefaultDialTimeout)
	o.Handover = cmp.Or(o.Handover, DefaultHandover)
	o.SlowSync = cmp.Or(o.SlowSync, DefaultSlowSync)
	o.TrailingLogs = cmp.Or(o.TrailingLogs, DefaultTrailingLogs)
	o.ReadyLag = cmp.Or(o.ReadyLag, DefaultReadyLag)
	o.message = cmp.Or(o.message, messageBytes)
	o.knows = cmp.Or(o.knows, newestKind)
	if o.now == nil {
		o.now = time.Now
	}
	if o.disk == nil {
		o.disk = func(log entryLog) entryLog { return log }
	}
	if o.log == nil {
		o.log = func(log raft.LogStore) raft.LogStore { return log }
	}
	return o, errors.Join(o.checkNames(), o.checkTimes(), o.checkNetwork(), o.checkBootstrap())
}

func (o *Options) checkNames() error {
	switch {
	case o.Cluster == "":
		return wrong("Cluster", "is empty")
	case len(o.Announce) > 255 || strings.ContainsFunc(o.Announce, func(r rune) bool { return r <= ' ' || r > '~' }):
		return wrong("Announce", "%q has more than 255 bytes, or other than printable ASCII", o.Announce)
	case o.Node == "" || len(o.Node) > nameMax || strings.Contains(o.Node, "@"):
		return wrong("Node", "%q is empty, has more than %d bytes or an @", o.Node, nameMax)
	}
	return nil
}

func (o *Options) checkTimes() error {
	for _, d := range []struct {
		option string
		value  time.Duration
		least  time.Duration
	}{
		{"Heartbeat", o.Heartbeat, 5 * time.Millisecond},
		{"Election", o.Election, o.Heartbeat},
		{"Lease", o.Lease, 5 * time.Millisecond},
		{"CommitEvery", o.CommitEvery, time.Millisecond},
		{"DialTimeout", o.DialTimeout, time.Millisecond},
		{"Handover", o.Handover, time.Millisecond},
		{"SlowSync", o.SlowSync, time.Millisecond},
	} {
		if d.value < d.least {
			return wrong(d.option, "%v is less than %v", d.value, d.least)
		}
	}
	if o.Lease > o.Heartbeat {
		return wrong("Lease", "%v is more than Heartbeat, %v", o.Lease, o.Heartbeat)
	}
	return nil
}

func (o *Options) checkNetwork() error {
	if o.Insecure {
		if o.TLS != (TLS{}) {
			return wrong("Insecure", "TLS is set, too")
		}
		return errors.Join(checkLoopback("Listen", o.Listen), checkLoopback("Advertise", cmp.Or(o.Advertise, o.Listen)))
	}
	if o.TLS.CertFile == "" || o.TLS.KeyFile == "" || o.TLS.CAFile == "" {
		return wrong("TLS", "CertFile, KeyFile or CAFile is empty")
	}
	for option, address := range map[string]string{"Listen": o.Listen, "Advertise": cmp.Or(o.Advertise, o.Listen)} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return wrong(option, "%w", err)
		}
		if strings.Contains(address, "@") {
			return wrong(option, "%q has an @", address)
		}
	}
	return nil
}

// checkLoopback refuses an address that other machines might reach.
func checkLoopback(option, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return wrong(option, "%w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return wrong(option, "%s is no loopback address, which Insecure needs", address)
	}
	return nil
}

func (o *Options) checkBootstrap() error {
	distinct := slices.Compact(slices.Sorted(slices.Values(o.Join)))
	switch {
	case o.BootstrapExpect < 0:
		return wrong("BootstrapExpect", "%d is negative", o.BootstrapExpect)
	case o.BootstrapExpect > 1 && o.BootstrapExpect != len(distinct):
		return wrong("BootstrapExpect", "%d nodes, but Join names %d", o.BootstrapExpect, len(distinct))
	case o.BootstrapExpect > 0 && o.NonVoter:
		return wrong("NonVoter", "a node that makes a cluster votes")
	}
	return nil
}

func wrong(option, format string, args ...any) error {
	return fmt.Errorf("%w %s: %w", ErrOption, option, fmt.Errorf(format, args...))
}

// clusterID returns the identity of the cluster with a name, as logs, snapshots and connections have it.
func clusterID(name string) [16]byte {
	sum := sha256.Sum256([]byte("walnut cluster " + name))
	return [16]byte(sum[:16])
}
