package cluster

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv"
)

// BenchmarkBeside puts pairs of 16 and 100 bytes on three nodes in this process, on a store alone, and on three nodes whose store is a state
// machine of raft that has another log: all are durable. The three take turns.
func BenchmarkBeside(b *testing.B) {
	put := map[string]func(key, value []byte) error{}
	alone, err := kv.Open(b.TempDir(), kv.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, alone.Close()) })
	put["alone"] = func(key, value []byte) error {
		_, err := alone.Put(key, value)
		return err
	}
	ours := newDirectTrio(b)
	leader := ours.nodes[ours.leader()].DB()
	put["replicated"] = func(key, value []byte) error {
		_, err := leader.Put(key, value)
		return err
	}
	put["state machine"] = newMachines(b)
	for _, clients := range []int{16, 64} {
		for range 3 {
			for _, which := range []string{"alone", "replicated", "state machine"} {
				b.Run(fmt.Sprintf("clients=%d/%s", clients, which), func(b *testing.B) {
					share(b, clients, func(n int) error { return put[which](fmt.Appendf(nil, "%016d", n), make([]byte, 100)) })
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
				})
			}
		}
	}
}

// share lets clients do b.N things.
func share(b *testing.B, clients int, do func(n int) error) {
	b.Helper()
	var working sync.WaitGroup
	b.ResetTimer()
	for number := range clients {
		working.Go(func() {
			for n := number; n < b.N; n += clients {
				if err := do(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
}

// newDirectTrio has the default options, and nodes that reach each other without a proxy.
func newDirectTrio(b *testing.B) *trio {
	b.Helper()
	addresses := map[string]string{"a": freeAddress(b), "b": freeAddress(b), "c": freeAddress(b)}
	return newTrioWith(b, func(o *Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.Listen, o.Advertise = addresses[o.Node], addresses[o.Node]
		o.Join = []string{addresses["a"], addresses["b"], addresses["c"]}
		o.Heartbeat, o.Lease, o.CommitEvery, o.Store.SegmentSize, o.Store.CheckpointFactor = 0, 0, 0, 0, 0
	})
}

// machine is a store as a state machine of raft: it logs again what raft's log has.
type machine struct{ db *kv.DB }

var _ raft.BatchingFSM = machine{}

func (m machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch makes one commit of all commands: a length of the key, key and value.
func (m machine) ApplyBatch(logs []*raft.Log) []any {
	var b kv.Batch
	for _, l := range logs {
		if l.Type == raft.LogCommand {
			size := binary.LittleEndian.Uint32(l.Data)
			b.Put(l.Data[4:4+size], l.Data[4+size:])
		}
	}
	answers := make([]any, len(logs))
	if _, err := m.db.Apply(&b); err != nil {
		for i := range answers {
			answers[i] = err
		}
	}
	return answers
}

func (machine) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (machine) Restore(io.ReadCloser) error         { return nil }

// newMachines starts three of them, and returns how to put a pair on their leader.
func newMachines(b *testing.B) func(key, value []byte) error {
	b.Helper()
	var nodes []*raft.Raft
	var members raft.Configuration
	for _, name := range []string{"a", "b", "c"} {
		dir := b.TempDir()
		s := openShelf(b, dir)
		db, err := kv.Open(filepath.Join(dir, "machine"), kv.Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(b, err)
		trans, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
		require.NoError(b, err)
		stable, err := openStable(vfs.OS, filepath.Join(dir, "terms"))
		require.NoError(b, err)
		conf := raft.DefaultConfig()
		conf.LocalID, conf.Logger, conf.SnapshotThreshold = raft.ServerID(name), hclog.NewNullLogger(), math.MaxUint64
		conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = DefaultHeartbeat, DefaultElection, DefaultLease
		node, err := raft.NewRaft(conf, machine{db}, s, stable, raft.NewInmemSnapshotStore(), trans)
		require.NoError(b, err)
		b.Cleanup(func() {
			require.NoError(b, node.Shutdown().Error())
			require.NoError(b, trans.Close())
			require.NoError(b, db.Close())
			require.NoError(b, s.replica.DB().Close())
		})
		nodes = append(nodes, node)
		members.Servers = append(members.Servers, raft.Server{ID: conf.LocalID, Address: trans.LocalAddr()})
	}
	require.NoError(b, nodes[0].BootstrapCluster(members).Error())
	var leader *raft.Raft
	waitUntil(b, func() bool {
		for _, node := range nodes {
			if node.State() == raft.Leader {
				leader = node
			}
		}
		return leader != nil
	})
	return func(key, value []byte) error {
		command := append(binary.LittleEndian.AppendUint32(nil, uint32(len(key))), key...)
		f := leader.Apply(append(command, value...), 0)
		if err := f.Error(); err != nil {
			return err
		}
		err, _ := f.Response().(error)
		return err
	}
}
