// Package copiestest runs three copies of an example in a test.
package copiestest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/cluster/examples/copies"
	"github.com/walnutkv/walnut/internal/loopback"
)

// Names are those of the copies.
var Names = []string{"a", "b", "c"}

// Trio is three copies.
type Trio struct {
	t       *testing.T
	program string
	routes  func(ctx context.Context, c *copies.Copy) http.Handler
	dir     string
	nodes   string
	web     map[string]string
	stops   map[string]func()
	running sync.WaitGroup
}

// Start starts three copies of a program, which end with the test.
func Start(t *testing.T, program string, routes func(ctx context.Context, c *copies.Copy) http.Handler) *Trio {
	c := &Trio{t: t, program: program, routes: routes, dir: t.TempDir(), web: map[string]string{}, stops: map[string]func(){}}
	var nodes []string
	places := freeAddresses(t, 2*len(Names))
	for i, name := range Names {
		web := places[2*i]
		c.web[name] = "http://" + web
		nodes = append(nodes, name+"="+places[2*i+1]+"="+web)
	}
	c.nodes = strings.Join(nodes, ",")
	for _, name := range Names {
		c.Start(name)
	}
	t.Cleanup(func() {
		for _, stop := range c.stops {
			stop()
		}
		c.running.Wait()
	})
	return c
}

// freeAddresses returns addresses that nothing listens on, each another one.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	addresses, err := loopback.Addresses(n)
	require.NoError(t, err)
	return addresses
}

// Start starts a copy.
func (c *Trio) Start(name string) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	c.stops[name] = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	c.running.Go(func() {
		defer close(ended)
		if err := copies.Run(ctx, c.program, name, c.nodes, filepath.Join(c.dir, name), c.routes); err != nil {
			c.t.Errorf("%s: %v", name, err)
		}
	})
}

// Stop stops a copy.
func (c *Trio) Stop(name string) { c.stops[name]() }

// Other returns the name of another copy.
func Other(name string) string { return Names[(slices.Index(Names, name)+1)%len(Names)] }

// Ask sends a request to a copy until it gets the answer that is wanted.
func (c *Trio) Ask(name, method, path, body string, want int) string {
	c.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		request, err := http.NewRequestWithContext(c.t.Context(), method, c.web[name]+path, strings.NewReader(body))
		require.NoError(c.t, err)
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			text, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode == want {
				return string(text)
			}
			err = fmt.Errorf("%s: %s", answer.Status, text)
		}
		require.True(c.t, time.Now().Before(deadline), "%s %s of %s: %v", method, path, name, err)
	}
}
