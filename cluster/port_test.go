package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
)

// openPort opens a port that answers calls with what it is sent.
func openPort(t *testing.T, name, node string, files TLS) *port {
	t.Helper()
	o := Options{Cluster: name, Node: node, Listen: "127.0.0.1:0", TLS: files, Insecure: files == (TLS{}), Logger: testLogger(t)}
	o, err := o.withDefaults()
	require.NoError(t, err)
	p, err := listen(o, node)
	require.NoError(t, err)
	p.serveAs(forCalls, func(conn net.Conn) {
		_, _ = io.Copy(conn, conn)
		_ = conn.Close()
	})
	t.Cleanup(func() { require.NoError(t, ignoreClosed(p.Close())) })
	return p
}

// ignoreClosed is for what a test has closed before.
func ignoreClosed(err error) error {
	if err != nil && strings.Contains(err.Error(), net.ErrClosed.Error()) {
		return nil
	}
	return err
}

// requireEcho shows that a connection works.
func requireEcho(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := conn.Write([]byte("ping"))
	require.NoError(t, err)
	var back [4]byte
	_, err = io.ReadFull(conn, back[:])
	require.NoError(t, err)
	require.Equal(t, "ping", string(back[:]))
	require.NoError(t, conn.Close())
}

func TestNodesConnectOnlyToTheNodeThatTheyCall(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	a, b := openPort(t, "one", "a", ca.issue("a")), openPort(t, "one", "b", ca.issue("b"))
	other, forged := openPort(t, "two", "b", ca.issue("c")), openPort(t, "one", "b", stranger.issue("b"))
	plain := openPort(t, "one", "b", TLS{})
	for _, c := range []struct {
		sentence string
		from     *port
		node     string
		to       *port
		why      purpose
		want     string // Of the error; empty where there is none.
	}{
		{"a node of the cluster", a, "b", b, forCalls, ""},
		{"any node", a, "", b, forCalls, ""},
		{"an address that leads to another node", a, "c", b, forCalls, `the node is "b", not "c"`},
		{"a node of another cluster", a, "b", other, forCalls, "different clusters"},
		{"a node with another authority's certificate", a, "b", forged, forCalls, "certificate"},
		{"a caller with another authority's certificate", forged, "b", b, forCalls, "certificate"},
		{"a node without TLS", a, "b", plain, forCalls, "connect to"},
		{"a caller without TLS", plain, "b", b, forCalls, "connect to"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			conn, found, err := c.from.dial(soon(t), c.why, c.node, c.to.address)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				require.Nil(t, conn)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "b", found)
			requireEcho(t, conn)
		})
	}
}

func TestAPurposeThatNothingServesIsRefused(t *testing.T) {
	a, b := openPort(t, "one", "a", TLS{}), openPort(t, "one", "b", TLS{})
	_, _, err := a.dial(soon(t), forRaft, "b", b.address)
	require.ErrorIs(t, err, errUnserved)
	require.NotErrorIs(t, err, ErrPeer, "it is the right node")
}

func TestCertificatesAreReadAgainAfterTheyChanged(t *testing.T) {
	ca := newAuthority(t)
	a, b := openPort(t, "one", "a", ca.issue("a")), openPort(t, "one", "b", ca.issue("b"))
	serial := func() string {
		conn, _, err := a.dial(soon(t), forCalls, "b", b.address)
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		return conn.(*heldConn).Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	ca.issue("b")
	waitUntil(t, func() bool { return serial() != before })
}

func TestClosingAPortEndsItsConnectionsAndGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	a, b := openPort(t, "one", "a", TLS{}), openPort(t, "one", "b", TLS{})
	conn, _, err := a.dial(soon(t), forCalls, "b", b.address)
	require.NoError(t, err)
	silent, err := net.Dial("tcp", b.address)
	require.NoError(t, err)
	require.NoError(t, b.Close())
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, a.Close())
	require.NoError(t, silent.Close())
	waitUntil(t, func() bool { return runtime.NumGoroutine() <= before })
	_, _, err = a.dial(soon(t), forCalls, "b", b.address)
	require.Error(t, err)
}

func TestACallerThatGivesUpWaitsForNoAnswer(t *testing.T) {
	a := openPort(t, "one", "a", TLS{})
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, mute.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err = a.dial(ctx, forCalls, "b", mute.Addr().String())
	require.Error(t, err)
	require.Error(t, ctx.Err())
}

// TestCallersThatSayNothingKeepNoNodeOut is of more of them than may be at their handshakes.
func TestCallersThatSayNothingKeepNoNodeOut(t *testing.T) {
	ca := newAuthority(t)
	a, b := openPort(t, "one", "a", ca.issue("a")), openPort(t, "one", "b", ca.issue("b"))
	var silent []net.Conn
	for range 3 * handshakesMax {
		conn, err := net.Dial("tcp", b.address)
		require.NoError(t, err)
		silent = append(silent, conn)
	}
	began := time.Now()
	conn, _, err := a.dial(soon(t), forCalls, "b", b.address)
	require.NoError(t, err)
	require.Less(t, time.Since(began), helloTimeout)
	requireEcho(t, conn)
	_, err = silent[0].Read(make([]byte, 1))
	require.Error(t, err)
	for _, conn := range silent {
		require.NoError(t, conn.Close())
	}
	waitUntil(t, func() bool {
		b.greeting.mu.Lock()
		defer b.greeting.mu.Unlock()
		return len(b.greeting.waiting) == 0
	})
}

func FuzzHello(f *testing.F) {
	whole := (&hello{forRaft, clusterID("one"), "a", "b"}).encode()
	for i := range whole {
		f.Add(whole[:i])
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, text []byte) {
		allocated.Within(t, len(text), func() { _, _, _ = readHello(bytes.NewReader(text)) })
		h, verdict, err := readHello(bytes.NewReader(text))
		if err == nil && verdict == verdictWelcome {
			require.True(t, bytes.HasPrefix(text, h.encode()))
		}
	})
}

// TestARefusalThatRepeatsIsLoggedOnce: a caller may try again at once.
func TestARefusalThatRepeatsIsLoggedOnce(t *testing.T) {
	var out logged
	o, err := Options{
		Cluster: "one", Node: "a", Listen: "127.0.0.1:0", Insecure: true, Logger: slog.New(slog.NewTextHandler(&out, nil)),
	}.withDefaults()
	require.NoError(t, err)
	p, err := listen(o, "a")
	require.NoError(t, err)
	b := openPort(t, "one", "b", TLS{})
	for range 50 {
		_, _, err := b.dial(soon(t), forProgram, "a", p.address)
		require.ErrorIs(t, err, errUnserved)
		_, _, err = b.dial(soon(t), forCalls, "c", p.address)
		require.ErrorIs(t, err, ErrPeer)
	}
	require.NoError(t, p.Close())
	require.Equal(t, 1, out.count("doesn't serve"))
	require.Equal(t, 1, out.count("peer is refused"))
}

func TestSayingsAreFew(t *testing.T) {
	var s sayings
	said := 0
	for i := range 10 * sayingsMost {
		if s.again(fmt.Sprint(i)) {
			said++
		}
	}
	require.Equal(t, sayingsMost, said)
	for text := range s.when {
		s.when[text] = time.Now().Add(-sayingsApart)
	}
	require.True(t, s.again("later"))
	require.Len(t, s.when, 1)
}
