package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// freeAddress returns an address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// ask sends a request until it gets the answer that is wanted.
func ask(t *testing.T, method, url, body string, want int) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			text, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode == want {
				return string(text)
			}
			err = fmt.Errorf("%s: %s", answer.Status, text)
		}
		require.True(t, time.Now().Before(deadline), "%s %s: %v", method, url, err)
	}
}

func TestSessionsOutliveARollingRestart(t *testing.T) {
	names, dir := []string{"a", "b", "c"}, t.TempDir()
	web, nodes := map[string]string{}, []string{}
	for _, name := range names {
		web[name] = "http://" + freeAddress(t)
		nodes = append(nodes, name+"="+freeAddress(t)+"="+strings.TrimPrefix(web[name], "http://"))
	}
	stops, copies := map[string]func(){}, sync.WaitGroup{}
	start := func(name string) {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		stops[name] = func() {
			cancel()
			<-ended
		}
		copies.Go(func() {
			defer close(ended)
			if err := run(ctx, name, strings.Join(nodes, ","), filepath.Join(dir, name)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	for _, name := range names {
		start(name)
	}
	for i, name := range names {
		ask(t, http.MethodPut, web[name]+"/session/"+name, fmt.Sprint("visit ", i), http.StatusNoContent)
	}
	for _, name := range names {
		stops[name]()
		other := names[(strings.Index("abc", name)+1)%3]
		require.Contains(t, ask(t, http.MethodGet, web[other]+"/session/"+name, "", http.StatusOK), "visit")
		ask(t, http.MethodPut, web[other]+"/session/"+name, "while it was down", http.StatusNoContent)
		start(name)
		ask(t, http.MethodGet, web[name]+"/readyz", "", http.StatusOK)
		require.Equal(t, "while it was down", ask(t, http.MethodGet, web[name]+"/session/"+name, "", http.StatusOK))
	}
	ask(t, http.MethodGet, web["a"]+"/session/nobody", "", http.StatusNotFound)
	for _, name := range names {
		stops[name]()
	}
	copies.Wait()
}
