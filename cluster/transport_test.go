package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/snapshot"
)

func TestAMessageHasABoundedSize(t *testing.T) {
	p := openPort(t, "one", "a", TLS{})
	trans := &transport{layer: newLayer(p), limit: messageBytes}
	trans.start(&raft.NetworkTransportConfig{Timeout: time.Second, Logger: newRaftLog(testLogger(t))})
	defer func() { require.NoError(t, trans.Close()) }()
	nowhere := raft.ServerAddress(placed("b", freeAddress(t)))
	for _, c := range []struct {
		sentence string
		sizes    []int
		want     int
	}{
		{"none", nil, 0},
		{"small ones go together", []int{1, 2, 3}, 3},
		{"those which fit go together", []int{messageBytes / 2, messageBytes / 2, 1}, 2},
		{"a large one goes alone", []int{2 * messageBytes, 1}, 1},
		{"a large one doesn't go with small ones", []int{1, 2 * messageBytes, 1}, 1},
	} {
		var message raft.AppendEntriesRequest
		for _, size := range c.sizes {
			message.Entries = append(message.Entries, &raft.Log{Data: make([]byte, size)})
		}
		require.Error(t, trans.AppendEntries("b", nowhere, &message, &raft.AppendEntriesResponse{}))
		require.Len(t, message.Entries, c.want, c.sentence)
	}
}

func TestAFollowerCatchesUpWithMoreThanAMessage(t *testing.T) {
	c := newTrioWith(t, func(o *Options) { o.message = 1000 })
	late := c.follower()
	c.stop(late)
	c.fill("", 50)
	c.put("large", string(make([]byte, 5000)))
	c.open(late)
	c.requireShows(late, "large", string(make([]byte, 5000)))
}

// openTransport opens one that knows all programs to read the newest snapshots.
func openTransport(t *testing.T, name string, patience time.Duration) (*transport, raft.ServerAddress) {
	t.Helper()
	p := openPort(t, "one", name, TLS{})
	trans := &transport{layer: newLayer(p), limit: messageBytes, patience: patience, log: testLogger(t)}
	trans.start(&raft.NetworkTransportConfig{MaxPool: 3, Timeout: 10 * time.Second, Logger: newRaftLog(testLogger(t))})
	t.Cleanup(func() { require.NoError(t, trans.Close()) })
	return trans, raft.ServerAddress(placed(p.node, p.listener.Addr().String()))
}

// takerOf returns what takes messages in a term, where entry 7 is known to be of term 7 or, as a snapshot, of none.
func takerOf(applied, term uint64) *taker {
	agrees := func(index, term uint64) error {
		if index == 7 && term != 7 && term != 0 {
			return errors.New("other entries")
		}
		return nil
	}
	return &taker{func() uint64 { return applied }, func() uint64 { return term }, agrees}
}

// aState is what a leader of term 1 says before the bytes of a snapshot.
func aState(index uint64, size int64) *raft.InstallSnapshotRequest {
	return &raft.InstallSnapshotRequest{
		SnapshotVersion: 1, Term: 1, LastLogIndex: index, Size: size, Configuration: raft.EncodeConfiguration(raft.Configuration{}),
	}
}

// TestASnapshotThatPausesIsGivenUp lets the bytes of one stop after some, as where its leader hangs, beside heartbeats of that leader or another.
func TestASnapshotThatPausesIsGivenUp(t *testing.T) {
	const patience = 100 * time.Millisecond
	for _, c := range []struct {
		sentence string
		term     uint64 // Of the heartbeats; 0 for none.
		after    time.Duration
	}{
		{"without heartbeats", 0, patience},
		{"where another node leads by now", 2, patience},
		{"where its leader's heartbeats go on, after a longer time", 1, longPause * patience},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			from, leads := openTransport(t, "a", time.Minute)
			to, place := openTransport(t, "b", patience)
			to.SetHeartbeatHandler(func(rpc raft.RPC) { rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil) })
			var sending sync.WaitGroup
			defer sending.Wait()
			in, out := io.Pipe()
			defer func() { _ = out.Close() }()
			sending.Go(func() { _, _ = out.Write(make([]byte, 1000)) })
			sending.Go(func() { _ = from.InstallSnapshot("b", place, aState(1, 2000), &raft.InstallSnapshotResponse{}, in) })
			read := make(chan time.Duration, 1)
			sending.Go(func() {
				rpc := <-to.Consumer()
				began := time.Now()
				_, err := io.Copy(io.Discard, rpc.Reader)
				rpc.Respond(&raft.InstallSnapshotResponse{}, err)
				read <- time.Since(began)
			})
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(patience / 10) {
				select {
				case took := <-read:
					require.Greater(t, took, c.after)
					return
				default:
				}
				require.True(t, time.Now().Before(deadline), "it is read for ever")
				if c.term > 0 {
					beat := &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{Addr: []byte(leads)}, Term: c.term}
					_ = from.AppendEntries("b", place, beat, &raft.AppendEntriesResponse{})
				}
			}
		})
	}
}

// TestALeaderHearsThatANodeHasWhatItWasSent: raft refuses such a snapshot, and the leader would send it again and again.
func TestALeaderHearsThatANodeHasWhatItWasSent(t *testing.T) {
	from, _ := openTransport(t, "a", time.Minute)
	to, place := openTransport(t, "b", time.Minute)
	to.taker.Store(takerOf(7, 1))
	for _, c := range []struct {
		index, term uint64 // Of the snapshot, and of the node that gets it.
		refused     error
		want        bool
	}{
		{7, 1, errors.New("refused"), true},
		{8, 1, errors.New("refused"), false},
		{7, 2, errors.New("refused"), false},
		{7, 2, nil, false}, // raft refuses one of an earlier term without an error.
	} {
		var sending sync.WaitGroup
		sending.Go(func() {
			rpc := <-to.Consumer()
			_, _ = io.Copy(io.Discard, rpc.Reader)
			rpc.Respond(&raft.InstallSnapshotResponse{Term: c.term}, c.refused)
		})
		var answer raft.InstallSnapshotResponse
		err := from.InstallSnapshot("b", place, aState(c.index, 4), &answer, strings.NewReader("text"))
		sending.Wait()
		require.Equal(t, c.want, answer.Success, "%+v", c)
		require.Equal(t, c.refused == nil || c.want, err == nil, "%+v: %v", c, err)
	}
}

// TestWhatIsAppliedIsLeftOutOfAMessage is of a node that has applied 7 entries in term 2.
func TestWhatIsAppliedIsLeftOutOfAMessage(t *testing.T) {
	from, _ := openTransport(t, "a", time.Minute)
	to, place := openTransport(t, "b", time.Minute)
	to.taker.Store(takerOf(7, 2))
	for _, c := range []struct {
		sentence         string
		term, prev, last uint64 // Of the message; its entries have terms as their indexes.
		commit           uint64
		want             *raft.AppendEntriesRequest // What raft gets.
	}{
		{"all of it is applied", 2, 3, 7, 9, nil},
		{"a question about an entry that is applied", 2, 6, 6, 9, nil},
		{"some of it is applied", 2, 5, 9, 9, &raft.AppendEntriesRequest{PrevLogEntry: 7, PrevLogTerm: 7, LeaderCommitIndex: 9}},
		{"it follows what is applied", 2, 7, 9, 8, &raft.AppendEntriesRequest{PrevLogEntry: 7, PrevLogTerm: 7, LeaderCommitIndex: 8}},
		{"it ends before what is agreed upon", 2, 8, 9, 20, &raft.AppendEntriesRequest{PrevLogEntry: 8, PrevLogTerm: 8, LeaderCommitIndex: 9}},
		{"the leader of an earlier term may have other entries", 1, 3, 7, 9, &raft.AppendEntriesRequest{PrevLogEntry: 3, PrevLogTerm: 3, LeaderCommitIndex: 7}},
		{"raft has to learn a later term", 3, 3, 7, 7, &raft.AppendEntriesRequest{PrevLogEntry: 3, PrevLogTerm: 3, LeaderCommitIndex: 7}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			message := &raft.AppendEntriesRequest{Term: c.term, PrevLogEntry: c.prev, PrevLogTerm: c.prev, LeaderCommitIndex: c.commit}
			for index := c.prev + 1; index <= c.last; index++ {
				message.Entries = append(message.Entries, &raft.Log{Index: index, Term: index})
			}
			var answer raft.AppendEntriesResponse
			sent := make(chan error, 1)
			go func() { sent <- from.NetworkTransport.AppendEntries("b", place, message, &answer) }()
			if c.want == nil {
				require.NoError(t, <-sent)
				require.True(t, answer.Success)
				require.Equal(t, c.term, answer.Term)
				return
			}
			var rpc raft.RPC
			select {
			case rpc = <-to.Consumer():
			case err := <-sent:
				t.Fatalf("raft doesn't get it: %v, %+v", err, answer)
			}
			rpc.Respond(&raft.AppendEntriesResponse{}, nil)
			require.NoError(t, <-sent)
			got := rpc.Command.(*raft.AppendEntriesRequest)
			require.Equal(t, c.want.PrevLogEntry, got.PrevLogEntry)
			require.Equal(t, c.want.PrevLogTerm, got.PrevLogTerm)
			require.Equal(t, c.want.LeaderCommitIndex, got.LeaderCommitIndex)
			for i, entry := range got.Entries {
				require.Equal(t, got.PrevLogEntry+uint64(i)+1, entry.Index)
			}
			require.Equal(t, c.last, got.PrevLogEntry+uint64(len(got.Entries)))
		})
	}
}

// reset resets the connections on which other nodes call, as where nothing at the port knows them any more.
func (t *transport) reset() {
	in := &t.layer.incoming
	in.mu.Lock()
	for held := range in.open {
		conn := net.Conn(held)
		for over, is := conn.(interface{ NetConn() net.Conn }); is; over, is = conn.(interface{ NetConn() net.Conn }) {
			conn = over.NetConn()
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	in.mu.Unlock()
	in.cut()
}

// TestAVoteArrivesThoughTheOtherNodeHasHungUp lets a node close its connections, of which the other one has some in its pool.
func TestAVoteArrivesThoughTheOtherNodeHasHungUp(t *testing.T) {
	from, _ := openTransport(t, "a", time.Minute)
	to, place := openTransport(t, "b", time.Minute)
	var answering sync.WaitGroup
	defer answering.Wait()
	asked := make(chan raft.RPC)
	answering.Go(func() {
		for {
			select {
			case rpc := <-to.Consumer():
				asked <- rpc
			case <-to.ctx.Done():
				return
			}
		}
	})
	vote := func() error {
		return from.RequestVote("b", place, &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{})
	}
	for _, hangUp := range []func(){to.layer.cutIncoming, to.reset, func() {}} {
		var votes sync.WaitGroup
		for range connsKept {
			votes.Go(func() { assert.NoError(t, vote()) })
		}
		var rpcs []raft.RPC
		for range connsKept { // Each on a connection of its own.
			select {
			case rpc := <-asked:
				rpcs = append(rpcs, rpc)
			case <-time.After(10 * time.Second):
				require.NoError(t, to.Close())
				t.Fatal("a vote was lost")
			}
		}
		for _, rpc := range rpcs {
			rpc.Respond(&raft.RequestVoteResponse{}, nil)
		}
		votes.Wait()
		hangUp()
	}
	require.NoError(t, to.Close())
}

// TestANodeAnswersNoLeaderThatHasOtherEntries is of one that has applied 7 entries: as if they were its leader's, it would count for what most
// nodes have.
func TestANodeAnswersNoLeaderThatHasOtherEntries(t *testing.T) {
	from, _ := openTransport(t, "a", time.Minute)
	to, place := openTransport(t, "b", time.Minute)
	to.taker.Store(takerOf(7, 2))
	for _, message := range []*raft.AppendEntriesRequest{
		{Term: 2, PrevLogEntry: 6, PrevLogTerm: 1, Entries: []*raft.Log{{Index: 7, Term: 1}}},
		{Term: 2, PrevLogEntry: 6, PrevLogTerm: 1, Entries: []*raft.Log{{Index: 7, Term: 1}, {Index: 8, Term: 2}}},
	} {
		require.ErrorContains(t, from.NetworkTransport.AppendEntries("b", place, message, &raft.AppendEntriesResponse{}), "other entries")
	}
}

// TestANodeIsSentASnapshotThatItsProgramReads sends one to programs of each format.
func TestANodeIsSentASnapshotThatItsProgramReads(t *testing.T) {
	from, _ := openTransport(t, "a", time.Minute)
	to, place := openTransport(t, "b", time.Minute)
	received := make(chan []byte, 1)
	go func() {
		for {
			select {
			case rpc := <-to.Consumer():
				data, _ := io.ReadAll(rpc.Reader)
				received <- data
				rpc.Respond(&raft.InstallSnapshotResponse{Success: true}, nil)
			case <-to.ctx.Done():
				return
			}
		}
	}()
	pairs := func(yield func(key, data []byte) bool) { yield([]byte("key"), []byte("value")) }
	sum := uint64(7)
	path, info, err := snapshot.Write(t.Context(), nil, t.TempDir(), snapshot.Header{Offset: 1}, snapshot.Options{StateSum: &sum}, pairs)
	require.NoError(t, err)
	for _, c := range []struct {
		sentence  string
		reads     uint32
		want, sum uint64
	}{
		{"a program that says nothing reads the first format", 0, 1, 0},
		{"an older program", 1, 1, 0},
		{"the same program", snapshot.FormatVersion, snapshot.FormatVersion, sum},
		{"a newer program", snapshot.FormatVersion + 1, snapshot.FormatVersion, sum},
	} {
		from.reads = func(_ context.Context, asked string) (uint32, error) {
			require.Equal(t, string(place), asked)
			return c.reads, nil
		}
		file, err := os.Open(path)
		require.NoError(t, err)
		message := &raft.InstallSnapshotRequest{Configuration: raft.EncodeConfiguration(raft.Configuration{}), Size: info.FileBytes}
		var answer raft.InstallSnapshotResponse
		require.NoError(t, from.InstallSnapshot("b", place, message, &answer, file), c.sentence)
		require.NoError(t, file.Close())
		require.True(t, answer.Success, c.sentence)
		data := <-received
		require.EqualValues(t, c.want, binary.LittleEndian.Uint32(data[8:]), c.sentence)
		read, err := snapshot.NewReader(bytes.NewReader(data), snapshot.Options{})
		require.NoError(t, err, c.sentence)
		for _, err := range read.Entries() {
			require.NoError(t, err, c.sentence)
		}
		require.Equal(t, c.sum, read.Info().StateSum, c.sentence)
	}
}

func TestEachNodeSaysWhichSnapshotsItReads(t *testing.T) {
	c := newTrio(t)
	from, to := c.nodes[c.leader()], c.nodes[c.follower()]
	format, err := from.snapshotsRead(soon(t), placed(to.id, to.port.address))
	require.NoError(t, err)
	require.EqualValues(t, snapshot.FormatVersion, format)
}

// TestASnapshotWhoseMembersCannotBeDecodedEndsNothing is of a message on which raft panics.
func TestASnapshotWhoseMembersCannotBeDecodedEndsNothing(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	follower, leader := c.nodes[c.follower()], c.nodes[c.leader()]
	message := &raft.InstallSnapshotRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}, SnapshotVersion: 1, Term: 1000, LastLogIndex: 1000, LastLogTerm: 1000,
		Configuration: []byte("what?"), Size: 4,
	}
	place := raft.ServerAddress(placed(follower.id, follower.port.address))
	err := leader.engine().trans.InstallSnapshot(
		raft.ServerID(follower.id), place, message, &raft.InstallSnapshotResponse{}, bytes.NewReader([]byte("data")),
	)
	require.ErrorContains(t, err, ErrCorrupt.Error())
	c.put("key", "2")
	c.requireShows(follower.opts.Node, "key", "2")
}

// TestALieAboutASizeTakesNoMemory sends raft messages that are said to be huge.
func TestALieAboutASizeTakesNoMemory(t *testing.T) {
	c := newTrio(t, "alone")
	c.put("key", "1")
	node := c.nodes["alone"]
	huge := binary.BigEndian.AppendUint32(nil, 1<<31-1)
	for _, c := range []struct {
		sentence string
		message  []byte
	}{
		{"a list of entries", append([]byte("\x00\x81\xa7Entries\xdd"), huge...)},
		{"a leader's address", append([]byte("\x00\x81\xa6Leader\xc6"), huge...)},
		{"an entry's data", append([]byte("\x00\x81\xa7Entries\x91\x81\xa4Data\xc6"), huge...)},
		{"a map", append([]byte("\x00\xdf"), huge...)},
		{"a candidate", append([]byte("\x01\x81\xa9Candidate\xdb"), huge...)},
		{"the members of a snapshot", append([]byte("\x03\x81\xadConfiguration\xc6"), huge...)},
	} {
		conn, err := net.Dial("tcp", node.port.listener.Addr().String())
		require.NoError(t, err)
		_, err = greet(conn, hello{forRaft, clusterID("test"), "liar", node.id})
		require.NoError(t, err)
		_, err = conn.Write(c.message)
		require.NoError(t, err)
		time.Sleep(50 * time.Millisecond) // It waits for the rest.
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		require.Less(t, mem.HeapAlloc, uint64(256<<20), c.sentence)
		require.NoError(t, conn.Close())
		_, _ = io.Copy(io.Discard, conn)
	}
	c.put("key", "2")
}

// TestALeaderThatHangsWhileItSendsASnapshotIsReplaced: the node that gets it is needed for a majority, and raft neither votes nor stands for
// election while it reads a snapshot, which is without a limit.
func TestALeaderThatHangsWhileItSendsASnapshotIsReplaced(t *testing.T) {
	const pairs, size = 12, 2 << 20
	c := newTrioWith(t, func(o *Options) { o.TrailingLogs, o.Store.SegmentSize = 1, 8<<20 })
	c.lead("a")
	c.stop("b")
	for i := range pairs {
		value := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(value)
		c.put(fmt.Sprint(i), string(value))
	}
	for range 2 {
		c.put("last", "one")
		for _, name := range []string{"a", "c"} { // Either may lead then.
			c.checkpoint(name)
		}
	}
	c.open("b")
	incoming := filepath.Join(c.dir, "b", "incoming")
	waitUntil(t, func() bool {
		info, err := os.Stat(incoming)
		return err == nil && info.Size() > size
	})
	hanging := c.leader()
	others := slices.DeleteFunc(slices.Clone(c.names), func(name string) bool { return name == hanging })
	for _, other := range others {
		c.net.hold(hanging, other)
		c.net.hold(other, hanging)
	}
	info, err := os.Stat(incoming)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(pairs*size), "it hangs in the middle")
	waitUntil(t, func() bool { return c.nodes[others[0]].Leads() || c.nodes[others[1]].Leads() })
}
