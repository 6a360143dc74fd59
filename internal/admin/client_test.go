package admin

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// broken is a connection that breaks while a request is written.
type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
}

// newNode returns a client of a listener, and closes that at the end of the test.
func newNode(t *testing.T, answer http.HandlerFunc) *Client {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return NewClient(server.Listener.Addr().String(), nil)
}

// TestAChangeWhoseAnswerDoesNotComeMayBeDone asks nodes that get the request and then answer nothing, in time, or half of it.
func TestAChangeWhoseAnswerDoesNotComeMayBeDone(t *testing.T) {
	for _, row := range []struct {
		name     string
		answer   http.HandlerFunc
		want     string
		question string // What the error of a request says that changes nothing.
	}{
		{"the connection breaks", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", "no walnutd answers: "},
		{"the time is over", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // Only then the server notices that the caller hangs up.
			<-r.Context().Done()
		}, context.DeadlineExceeded.Error(), "no walnutd answers: "},
		{"the answer is cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = io.WriteString(w, `{"kind":"result"`)
		}, "unexpected EOF", "the answer is not whole: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newNode(t, row.answer)
			limited := func() context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				t.Cleanup(cancel)
				return ctx
			}
			_, transferred := c.Transfer(limited(), "a")
			_, removed := c.Remove(limited(), "a")
			_, joined := c.Join(limited(), "a", "a:7000")
			_, recovered := c.Recover(limited(), Recover{Apply: true})
			for _, err := range []error{transferred, removed, joined, recovered} {
				var unanswered *UnansweredError
				require.ErrorAs(t, err, &unanswered)
				require.Equal(t, c.address, unanswered.Address)
				require.ErrorContains(t, err, c.address+": no answer came, so it may be done: ")
				require.ErrorContains(t, err, row.want)
			}
			_, asked := c.Status(limited())
			_, planned := c.Recover(limited(), Recover{})
			for _, err := range []error{asked, planned} {
				require.Error(t, err)
				require.NotErrorAs(t, err, new(*UnansweredError), "that changes nothing")
				require.ErrorContains(t, err, c.address+": "+row.question)
			}
		})
	}
}

// TestAnAnswerOfAnotherKindIsNoSuccess asks servers that are no walnutd, and answer every request.
func TestAnAnswerOfAnotherKindIsNoSuccess(t *testing.T) {
	for _, answer := range []string{`{}`, `{"kind":"node"}`, `{"node":"a"}`} {
		c := newNode(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
		_, asked := c.Status(t.Context())
		_, listed := c.Members(t.Context())
		_, joined := c.Join(t.Context(), "a", "a:7000")
		_, removed := c.Remove(t.Context(), "a")
		_, recovered := c.Recover(t.Context(), Recover{Apply: true})
		_, restored := c.Restore(t.Context(), strings.NewReader("pairs"))
		for _, err := range []error{asked, listed, joined, removed, recovered, restored} {
			require.ErrorContains(t, err, c.address+": the answer is of the kind ")
		}
	}
}

// TestAConnectionThatIsNotMadeChangesNothing asks a node that isn't there, and one whose handshake fails.
func TestAConnectionThatIsNotMadeChangesNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	plain := newNode(t, func(http.ResponseWriter, *http.Request) {})
	for _, c := range []*Client{NewClient(listener.Addr().String(), nil), NewClient(plain.address, &tls.Config{InsecureSkipVerify: true})} {
		_, removed := c.Remove(t.Context(), "a")
		_, restored := c.Restore(t.Context(), strings.NewReader("pairs"))
		for _, err := range []error{removed, restored} {
			require.ErrorContains(t, err, c.address+": no walnutd answers: ")
			require.NotContains(t, err.Error(), "may be done")
		}
	}
}

// TestARefusedCertificateChangesNothing asks a listener that wants a certificate. Under TLS 1.3 it refuses after the client is done with
// the handshake.
func TestARefusedCertificateChangesNothing(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	c := NewClient(server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	_, removed := c.Remove(t.Context(), "a")
	_, restored := c.Restore(t.Context(), strings.NewReader("pairs"))
	for _, err := range []error{removed, restored} {
		require.ErrorContains(t, err, c.address+": ")
		require.ErrorContains(t, err, "certificate required")
		require.NotContains(t, err.Error(), "may be done")
	}
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
