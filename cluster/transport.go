package cluster

import (
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// messageBytes is about how many bytes of entries go into one message. A larger entry goes alone. Otherwise a follower that lacks some large
// commits would be sent 64 of them at once, in more memory than there may be, and for longer than Options.DialTimeout.
const messageBytes = 4 << 20

// transport is raft's, with messages of bounded size, and without those of which raft would panic. What is received goes through a goroutine,
// which Close ends.
type transport struct {
	*raft.NetworkTransport
	limit   int // messageBytes, but in tests.
	checked chan raft.RPC
	closing chan struct{}
	once    sync.Once
	ended   sync.WaitGroup
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

func newTransport(conf *raft.NetworkTransportConfig, limit int) *transport {
	t := &transport{NetworkTransport: raft.NewNetworkTransportWithConfig(conf), limit: limit}
	t.checked, t.closing = make(chan raft.RPC), make(chan struct{})
	t.ended.Go(t.check)
	return t
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.checked }

// check hands on what comes, if raft can take it.
func (t *transport) check() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			if err := checkMessage(rpc.Command); err != nil {
				t.ended.Go(func() { // The next message comes after the snapshot.
					_, _ = io.Copy(io.Discard, rpc.Reader)
					rpc.Respond(&raft.InstallSnapshotResponse{}, err)
				})
				continue
			}
			select {
			case t.checked <- rpc:
			case <-t.closing:
				return
			}
		case <-t.closing:
			return
		}
	}
}

// checkMessage refuses a snapshot whose members can't be decoded. Those in entries are checked when they are appended.
func checkMessage(message any) (err error) {
	if m, is := message.(*raft.InstallSnapshotRequest); is {
		_, err = decodeMembers(m.Configuration)
	}
	return err
}

// AppendEntries implements raft.Transport. raft goes on after the last entry that it finds in the message afterwards.
func (t *transport) AppendEntries(
	id raft.ServerID, place raft.ServerAddress, message *raft.AppendEntriesRequest, answer *raft.AppendEntriesResponse,
) error {
	size := 0
	for i, l := range message.Entries {
		if size += len(l.Data) + len(l.Extensions); size > t.limit && i > 0 {
			message.Entries = message.Entries[:i]
			break
		}
	}
	return t.NetworkTransport.AppendEntries(id, place, message, answer)
}

// Close implements raft.WithClose. It closes all connections, and may be called again.
func (t *transport) Close() error {
	t.once.Do(func() { close(t.closing) })
	err := t.NetworkTransport.Close()
	t.ended.Wait()
	return err
}
