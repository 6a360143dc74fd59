package server_test

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
