package mutual

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/mutual/mutualtest"
)

// logged counts the lines of a log.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// open opens the certificates of a new end, and issue makes others in their place.
func open(t *testing.T) (c *Certificates, lines *logged, issue func()) {
	t.Helper()
	ca := mutualtest.New(t)
	cert, key := ca.Issue("a")
	lines = &logged{}
	c, err := Open(Files{Cert: cert, Key: key, Authority: ca.File}, slog.New(slog.NewTextHandler(lines, nil)))
	require.NoError(t, err)
	return c, lines, func() { ca.Issue("a") }
}

func TestFilesAreReadAgainAfterTheyChanged(t *testing.T) {
	c, lines, issue := open(t)
	serial := func() string {
		c.checked = time.Time{}
		return c.Current().Own.Leaf.SerialNumber.String()
	}
	before := serial()
	require.Equal(t, before, serial())
	issue()
	after := serial()
	require.NotEqual(t, before, after)

	require.NoError(t, os.WriteFile(c.files.Key, []byte("half a ke"), 0o600))
	require.Equal(t, after, serial(), "what can't be read changes nothing")
	require.NoError(t, os.Remove(c.files.Key))
	require.Equal(t, after, serial())
	require.Equal(t, 2, lines.count("the old ones stay in use"))
}

func TestACertificateThatExpiresSoonIsWarnedOf(t *testing.T) {
	c, lines, _ := open(t) // It is valid for an hour from now, and has been for one.
	_, late := c.expires(time.Now())
	require.False(t, late)
	left, late := c.expires(time.Now().Add(50 * time.Minute))
	require.True(t, late)
	require.InDelta(t, 10, left.Minutes(), 1)
	_, late = c.expires(time.Now().Add(2 * time.Hour))
	require.True(t, late)

	c.held.Own.Leaf.NotAfter = time.Now().Add(time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { c.Watch(ctx) })
	require.Eventually(t, func() bool { return lines.count("expires soon") == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	watching.Wait()
}

func TestWithoutAnAuthorityNoOtherEndIsBelieved(t *testing.T) {
	c, _, _ := open(t)
	keys, err := Load(Files{Cert: c.files.Cert, Key: c.files.Key})
	require.NoError(t, err)
	require.Error(t, keys.Client().VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{keys.Own.Leaf}}))
	require.True(t, keys.Server(tls.RequireAndVerifyClientCert).ClientCAs.Equal(x509.NewCertPool()))
}
