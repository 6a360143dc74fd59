// Package copies is what the examples have in common: a program that is run as some copies of itself. Each is a node of one cluster, and
// has a web server.
package copies

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/kv"
)

const wait = 2 * time.Second

// place is where a copy is reached by the others, and by clients.
type place struct{ cluster, web string }

// Copy is this one.
type Copy struct {
	Node    string
	Cluster *cluster.Cluster
	places  map[string]place
}

// Main is a program's main function: it reads the flags and runs until a signal.
func Main(program string, routes func(ctx context.Context, c *Copy) http.Handler) {
	node := flag.String("node", "", "the name of this copy")
	nodes := flag.String("nodes", "", "all copies: name=address of the cluster=address of the web server, and so on")
	dir := flag.String("dir", "", "the directory of this copy")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, program, *node, *nodes, *dir, routes); err != nil {
		fmt.Fprintln(os.Stderr, program+":", err)
		os.Exit(1)
	}
}

// parse returns the places of all copies by their names.
func parse(text string) (map[string]place, error) {
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

// Run serves until ctx is done. Then the leadership is handed over, so that the others go on without a pause. routes gets a context that
// is done before the node is closed.
func Run(ctx context.Context, program, node, nodes, dir string, routes func(ctx context.Context, c *Copy) http.Handler) (err error) {
	places, err := parse(nodes)
	if err != nil {
		return err
	}
	own, found := places[node]
	if !found {
		return fmt.Errorf("there is no node %q", node)
	}
	opts := cluster.Options{Cluster: program, Node: node, Listen: own.cluster, Insecure: true, BootstrapExpect: len(places)}
	for _, p := range places {
		opts.Join = append(opts.Join, p.cluster)
	}
	c, err := cluster.Open(ctx, dir, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	handler := routes(ctx, &Copy{node, c, places})
	web := &http.Server{Addr: own.web, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
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

// Refresh waits until this copy shows what was acknowledged by any copy before the request. Where it can't, it has answered.
func (c *Copy) Refresh(w http.ResponseWriter, r *http.Request) bool {
	return c.answered(w, r, c.Cluster.Linearizable)
}

// Ready is for a load balancer.
func (c *Copy) Ready(w http.ResponseWriter, r *http.Request) { c.answered(w, r, c.Cluster.Ready) }

func (c *Copy) answered(w http.ResponseWriter, r *http.Request, ask func(ctx context.Context) error) bool {
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	err := ask(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
	return err == nil
}

// Refuse answers a request whose commit failed. It sends the client to the copy that leads, if this one doesn't and it is known.
func (c *Copy) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	leader, known := c.places[c.Cluster.Leader().Name]
	if errors.Is(err, kv.ErrNotLeader) && known && !c.Cluster.Leads() {
		http.Redirect(w, r, "http://"+leader.web+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		return
	}
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}
