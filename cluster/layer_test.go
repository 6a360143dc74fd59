package cluster

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// newTransport is the consensus' transport over a port.
func rawTransport(t *testing.T, p *port) (*raft.NetworkTransport, *layer) {
	t.Helper()
	l := newLayer(p)
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: l, MaxPool: 2, Timeout: 5 * time.Second, MaxRPCsInFlight: 1, Logger: newRaftLog(testLogger(t)),
	})
	t.Cleanup(func() { require.NoError(t, transport.Close()) })
	return transport, l
}

func TestTheConsensusTalksOverThePort(t *testing.T) {
	ca := newAuthority(t)
	from, _ := rawTransport(t, openPort(t, "one", "a", ca.issue("a")))
	to, served := rawTransport(t, openPort(t, "one", "b", ca.issue("b")))
	go func() {
		for rpc := range to.Consumer() {
			rpc.Respond(&raft.RequestVoteResponse{Term: rpc.Command.(*raft.RequestVoteRequest).Term + 1}, nil)
		}
	}()
	var answer raft.RequestVoteResponse
	ask := func(node string) error {
		_, address := parted(string(to.LocalAddr()))
		return from.RequestVote(raft.ServerID(node), raft.ServerAddress(placed(node, address)), &raft.RequestVoteRequest{Term: 7}, &answer)
	}
	require.NoError(t, ask("b"))
	require.EqualValues(t, 8, answer.Term)
	require.ErrorIs(t, ask("c"), ErrPeer)

	require.NoError(t, served.Close())
	require.Error(t, ask("b"), "its connections are closed with it")
	again, _ := rawTransport(t, served.port)
	require.Equal(t, to.LocalAddr(), again.LocalAddr(), "the port goes on")
}

func TestAPlaceNamesNodeAndAddress(t *testing.T) {
	for _, c := range []struct{ node, address string }{{"a", "10.0.0.1:7000"}, {"", "10.0.0.1:7000"}, {"a", "[fe80::1]:7000"}} {
		node, address := parted(placed(c.node, c.address))
		require.Equal(t, c.node, node)
		require.Equal(t, c.address, address)
	}
}
