package cluster

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/loopback"
	"github.com/walnutkv/walnut/internal/mutual/mutualtest"
)

// authority makes certificates of nodes.
type authority struct{ *mutualtest.Authority }

func newAuthority(t testing.TB) authority { return authority{mutualtest.New(t)} }

// issue makes the files of a node.
func (a authority) issue(node string) TLS {
	cert, key := a.Issue(node)
	return TLS{CertFile: cert, KeyFile: key, CAFile: a.File}
}

// recorder keeps what is logged, for a test that fails.
type recorder struct{ t testing.TB }

func (r recorder) Write(line []byte) (int, error) {
	r.t.Log(string(line))
	return len(line), nil
}

// testLogger logs to a test's output. Goroutines of a node don't log after Close, which a test can rely on: it would panic.
func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(recorder{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// soon is a context for what doesn't take long.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// waitUntil waits for what happens soon.
func waitUntil(t testing.TB, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("it doesn't happen\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// freeAddress returns an address that nothing listens on, each time another one.
func freeAddress(t testing.TB) string {
	t.Helper()
	addresses, err := loopback.Addresses(1)
	require.NoError(t, err)
	return addresses[0]
}
