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
	"io"
	"net/http"
	"time"

	"github.com/walnutkv/walnut/cluster/examples/copies"
	"github.com/walnutkv/walnut/kv"
)

const (
	sessionLife = 30 * time.Minute
	sessionMax  = 64 << 10
)

func main() { copies.Main("sessions", routes) }

// server answers clients.
type server struct{ *copies.Copy }

func routes(_ context.Context, c *copies.Copy) http.Handler {
	s, routes := server{c}, http.NewServeMux()
	routes.HandleFunc("GET /session/{id}", s.get)
	routes.HandleFunc("PUT /session/{id}", s.put)
	routes.HandleFunc("GET /readyz", s.Ready)
	return routes
}

func sessionKey(r *http.Request) []byte { return []byte("session/" + r.PathValue("id")) }

// get shows what was acknowledged by any copy before the request.
func (s server) get(w http.ResponseWriter, r *http.Request) {
	if !s.Refresh(w, r) {
		return
	}
	value, err := s.Cluster.DB().Get(sessionKey(r))
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
func (s server) put(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sessionMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if _, err = s.Cluster.DB().PutTTL(sessionKey(r), value, sessionLife); err != nil {
		s.Refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
