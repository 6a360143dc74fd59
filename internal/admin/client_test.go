package admin

import (
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// broken is a connection that breaks while a request is written.
type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
}

// TestAConnectionThatBreaksIsNoReaderThatHasHadEnough shows that a command which failed so doesn't exit as if its own output had been closed.
func TestAConnectionThatBreaksIsNoReaderThatHasHadEnough(t *testing.T) {
	c := NewClient("there", nil)
	c.http.Transport = broken{}
	_, transferred := c.Transfer(t.Context(), "a")
	_, restored := c.Restore(t.Context(), strings.NewReader("pairs"))
	_, backedUp := c.Backup(t.Context(), nil, nil)
	for _, err := range []error{transferred, restored, backedUp} {
		require.ErrorContains(t, err, "there: ")
		require.ErrorContains(t, err, "broken pipe")
		require.NotErrorIs(t, err, syscall.EPIPE)
	}
}
