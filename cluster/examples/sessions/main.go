// Command sessions is a web server that keeps sessions, and is run as three copies of itself, each of which may die. On one machine:
//
//	nodes='a=127.0.0.1:7001=127.0.0.1:8001,b=127.0.0.1:7002=127.0.0.1:8002,c=127.0.0.1:7003=127.0.0.1:8003'
//	for node in a b c; do go run ./examples/sessions -node $node -nodes $nodes -dir data/$node & done
//	curl -L -X PUT -d 'Ada' http://127.0.0.1:8001/session/42
//	curl http://127.0.0.1:8003/session/42
//
// Any copy reads. A copy that doesn't lead sends a client that writes to the one which does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/kv"
)

const (
	sessionLife = 30 * time.Minute
	sessionMax  = 64 << 10
	readWait    = 2 * time.Second
)

// place is where a copy is reached by the others, and by clients.
type place struct{ cluster, web string }

func main() {
	node := flag.String("node", "", "the name of this copy")
	nodes := flag.String("nodes", "", "all copies: name=address of the cluster=address of the web server, and so on")
	dir := flag.String("dir", "", "the directory of this copy")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *node, *nodes, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "sessions:", err)
		os.Exit(1)
	}
}

// parseNodes returns the places of all copies by their names.
func parseNodes(text string) (map[string]place, error) {
	places := map[string]place{}
	for one := range strings.SplitSeq(text, ",") {
		parts := strings.Split(one, "=")
		if len(parts) != 3 {
			return nil, fmt.Errorf("%q is no name=address=address", one)
		}
		places[parts[0]] = place{parts[1], parts[2]}
	}
	return places, nil
}

// run serves until ctx is done. Then the leadership is handed over, so that the others go on without a pause.
func run(ctx context.Context, node, nodes, dir string) (err error) {
	places, err := parseNodes(nodes)
	if err != nil {
		return err
	}
	own, found := places[node]
	if !found {
		return fmt.Errorf("there is no node %q", node)
	}
	opts := cluster.Options{Cluster: "sessions", Node: node, Listen: own.cluster, Insecure: true, BootstrapExpect: len(places)}
	for _, p := range places {
		opts.Join = append(opts.Join, p.cluster)
	}
	c, err := cluster.Open(ctx, dir, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s := &server{cluster: c, places: places}
	web := &http.Server{Addr: own.web, Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- web.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return web.Shutdown(shutdown)
}

// server answers clients.
type server struct {
	cluster *cluster.Cluster
	places  map[string]place
}

func (s *server) routes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /session/{id}", s.get)
	routes.HandleFunc("PUT /session/{id}", s.put)
	routes.HandleFunc("GET /readyz", s.ready)
	return routes
}

func sessionKey(r *http.Request) []byte { return []byte("session/" + r.PathValue("id")) }

// get shows what was acknowledged by any copy before the request.
func (s *server) get(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readWait)
	defer cancel()
	if err := s.cluster.Linearizable(ctx); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	value, err := s.cluster.DB().Get(sessionKey(r))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		http.Error(w, "no such session", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		_, _ = w.Write(value) // The client is gone, or not.
	}
}

// put begins a session, or renews one. To do it twice does no harm, so a client may try again whatever the answer was.
func (s *server) put(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sessionMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	_, err = s.cluster.DB().PutTTL(sessionKey(r), value, sessionLife)
	leader, known := s.places[s.cluster.Leader().Name]
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, kv.ErrNotLeader) && known && !s.cluster.Leads():
		http.Redirect(w, r, "http://"+leader.web+r.URL.Path, http.StatusTemporaryRedirect)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// ready is for a load balancer.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readWait)
	defer cancel()
	if err := s.cluster.Ready(ctx); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}
