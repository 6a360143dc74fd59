// Command queue is a queue of jobs that outlives the loss of a machine: a web server that is run as three copies of itself. On one machine:
//
//	nodes='a=127.0.0.1:7001=127.0.0.1:8001,b=127.0.0.1:7002=127.0.0.1:8002,c=127.0.0.1:7003=127.0.0.1:8003'
//	for node in a b c; do go run ./examples/queue -node $node -nodes $nodes -dir data/$node & done
//	curl -L -X PUT -d 'send mail 42' http://127.0.0.1:8001/job/42
//	curl -L -X POST http://127.0.0.1:8002/claim/worker-1
//	curl -L -X POST http://127.0.0.1:8003/done/worker-1/42
//
// A worker has a job for half a minute: if it dies, another one gets it. So a job may be done twice, and never not at all. All requests
// may be repeated after an answer that says neither yes nor no.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/walnutkv/walnut/cluster/examples/copies"
	"github.com/walnutkv/walnut/kv"
)

const (
	defaultLease = 30 * time.Second
	workMax      = 64 << 10
)

func main() {
	copies.Main("queue", func(_ context.Context, c *copies.Copy) http.Handler { return routes(c, defaultLease) })
}

func routes(c *copies.Copy, lease time.Duration) http.Handler {
	db, routes := c.Cluster.DB(), http.NewServeMux()
	routes.HandleFunc("GET /readyz", c.Ready)
	routes.HandleFunc("PUT /job/{id}", func(w http.ResponseWriter, r *http.Request) {
		work, err := io.ReadAll(http.MaxBytesReader(w, r.Body, workMax))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		reply(c, w, r, nil, add(db, r.PathValue("id"), string(work)))
	})
	routes.HandleFunc("GET /job/{id}", func(w http.ResponseWriter, r *http.Request) {
		if c.Refresh(w, r) {
			j, err := read(db.Get, r.PathValue("id"))
			reply(c, w, r, j, err)
		}
	})
	routes.HandleFunc("POST /claim/{worker}", func(w http.ResponseWriter, r *http.Request) {
		j, err := claim(db, r.PathValue("worker"), lease)
		reply(c, w, r, j, err)
	})
	routes.HandleFunc("POST /done/{worker}/{id}", func(w http.ResponseWriter, r *http.Request) {
		reply(c, w, r, nil, finish(db, r.PathValue("worker"), r.PathValue("id")))
	})
	return routes
}

// reply answers with an object, or with what became of a commit.
func reply(c *copies.Copy, w http.ResponseWriter, r *http.Request, object any, err error) {
	switch {
	case errors.Is(err, kv.ErrNotFound), errors.Is(err, errNoJob):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, errNotOwn):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		c.Refuse(w, r, err)
	case object == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		_ = json.NewEncoder(w).Encode(object) // The client is gone, or not.
	}
}
