package server_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/mutual/mutualtest"
	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// failingListener is one that accepts nothing.
type failingListener struct {
	net.Listener
	cause error
	tries atomic.Int64
}

func (f *failingListener) Accept() (net.Conn, error) {
	f.tries.Add(1)
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", f.cause)}
}

func TestServeReturnsTheErrorOfAListenerThatIsBroken(t *testing.T) {
	for cause, isFinal := range map[error]bool{
		syscall.EINVAL: true, syscall.EBADF: true, syscall.ENOTSOCK: true, syscall.EMFILE: false, syscall.ECONNABORTED: false,
	} {
		srv, err := server.New(openStore(t, kv.Options{}), server.Options{})
		require.NoError(t, err)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		failing := &failingListener{Listener: listener, cause: cause}
		ended := make(chan error, 1)
		go func() { ended <- srv.Serve(context.Background(), failing) }()
		if isFinal {
			require.ErrorIs(t, <-ended, cause)
			require.EqualValues(t, 1, failing.tries.Load())
		} else {
			require.Eventually(t, func() bool { return failing.tries.Load() > 2 }, 10*time.Second, time.Millisecond, cause)
		}
		require.NoError(t, srv.Close())
	}
}

// slowListener has connections that take long to be closed, as those with TLS do whose client doesn't read.
type slowListener struct {
	net.Listener
	may chan struct{}
}

type slowConn struct {
	net.Conn
	may chan struct{}
}

func (s *slowListener) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	return &slowConn{conn, s.may}, err
}

func (s *slowConn) Close() error {
	<-s.may
	return s.Conn.Close()
}

func TestNobodyWaitsForAConnectionThatIsSlowToClose(t *testing.T) {
	srv, address := serveUsers(t, threeUsers)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	slow := &slowListener{listener, make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(context.Background(), slow) }()
	admin := dial(t, address)
	require.Equal(t, "OK", admin.words("AUTH secret"))
	for range 2 {
		c := dial(t, listener.Addr().String())
		require.Equal(t, "OK", c.words("AUTH app a"))
	}
	require.Equal(t, "2", admin.words("CLIENT KILL USER app"))
	srv.SetUsers(parseUsers(t, "user default on >secret ~* +@all"))
	require.Equal(t, "PONG", admin.words("PING"))
	require.Equal(t, "OK", dial(t, address).words("AUTH secret"))
	close(slow.may)
}

// TestASilentClientOfTLSDelaysNoOther is about one more than there may be, which is refused. It never does its part of the handshake.
func TestASilentClientOfTLSDelaysNoOther(t *testing.T) {
	srv, err := server.New(openStore(t, kv.Options{}), server.Options{MaxClients: 1})
	require.NoError(t, err)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	keys, err := tls.LoadX509KeyPair(mutualtest.New(t).Issue("server"))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		ended <- srv.Serve(t.Context(), tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{keys}}))
	}()
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{InsecureSkipVerify: true}}
	first, err := dialer.DialContext(t.Context(), "tcp", plain.Addr().String())
	require.NoError(t, err)
	for range 2 {
		silent, err := net.Dial("tcp", plain.Addr().String())
		require.NoError(t, err)
		defer silent.Close()
	}
	require.Eventually(t, func() bool { return srv.Stats().Refused == 2 }, 10*time.Second, time.Millisecond)
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return srv.Stats().Clients == 0 }, 10*time.Second, time.Millisecond)
	next, err := dialer.DialContext(t.Context(), "tcp", plain.Addr().String())
	require.NoError(t, err)
	require.NoError(t, srv.Close())
	_ = next.Close() // The other end may be closed already.
	select {
	case err := <-ended:
		require.ErrorIs(t, err, server.ErrClosed)
	case <-time.After(10 * time.Second):
		require.Fail(t, "Serve goes on")
	}
}
