package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/kv"
)

const (
	askTimeout    = 2 * time.Second  // For the answers of the other nodes.
	changeTimeout = 20 * time.Second // For a change of the members or the leader.
	requestMax    = 64 << 10         // Bytes of a request.
)

// routes are what the admin listener answers. Probes and metrics are for everybody who reaches it; with TLS everything else is for callers
// with a certificate of the authority.
func (d *daemon) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+admin.PathHealth, admin.Probe(d.health, askTimeout))
	mux.HandleFunc("GET "+admin.PathReady, admin.Probe(d.ready, askTimeout))
	mux.HandleFunc("GET "+admin.PathMetrics, d.metrics)
	for path, answer := range map[string]func(r *http.Request, node *cluster.Cluster) (any, error){
		"GET " + admin.PathStatus:    d.status,
		"GET " + admin.PathMembers:   members,
		"POST " + admin.PathJoin:     join,
		"POST " + admin.PathTransfer: transfer,
		"POST " + admin.PathRemove:   remove,
		"POST " + admin.PathRecover:  recovery,
	} {
		mux.HandleFunc(path, d.guarded(d.object(answer)))
	}
	mux.HandleFunc("GET "+admin.PathBackup, d.guarded(d.backup))
	mux.HandleFunc("POST "+admin.PathRestore, d.guarded(d.restore))
	return admin.FromHere(mux)
}

// errOpening is what is answered until the node is open.
var errOpening = errors.New("the node is being opened")

// guarded keeps callers without a certificate out, where the listener has TLS.
func (d *daemon) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !admin.IsKnown(r) {
			admin.Fail(w, http.StatusForbidden, errors.New("this needs a certificate of the cluster's authority"))
			return
		}
		next(w, r)
	}
}

// health fails where only a restart helps: the node has stopped taking part.
func (d *daemon) health(ctx context.Context) error {
	if node := d.node.Load(); node != nil {
		if _, err := node.Members(ctx); errors.Is(err, cluster.ErrStopped) {
			return err
		}
	}
	return nil
}

func (d *daemon) ready(ctx context.Context) error {
	node := d.node.Load()
	if node == nil {
		return errOpening
	}
	return node.Ready(ctx)
}

// metrics writes the page of the store and the node.
func (d *daemon) metrics(w http.ResponseWriter, _ *http.Request) {
	admin.LimitTime(w)
	node := d.node.Load()
	if node == nil {
		http.Error(w, errOpening.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", admin.MetricsType)
	labels := []kv.Label{{Name: "cluster", Value: d.flags.options.Cluster}, {Name: "node", Value: d.flags.options.Node}}
	err := node.WritePrometheus(w, labels...)
	if clients := d.server.Load(); clients != nil && err == nil {
		err = clients.WritePrometheus(w, labels...)
	}
	if err != nil {
		d.log.Debug("metrics can't be written", "error", err)
	}
}

// object answers with an object.
func (d *daemon) object(answer func(r *http.Request, node *cluster.Cluster) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		admin.LimitTime(w)
		node := d.node.Load()
		if node == nil {
			admin.Fail(w, http.StatusServiceUnavailable, errOpening)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, requestMax)
		object, err := answer(r, node)
		if err != nil {
			admin.Fail(w, statusOf(err), err)
			return
		}
		admin.WriteJSON(w, http.StatusOK, object)
	}
}

// badRequestError is what is wrong with a request.
type badRequestError struct{ error }

// read reads the object in a request.
func read(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return badRequestError{fmt.Errorf("the request can't be read: %w", err)}
	}
	return nil
}

// statusOf is the status of an answer that is an error.
func statusOf(err error) int {
	switch {
	case errors.As(err, new(badRequestError)):
		return http.StatusBadRequest
	case errors.Is(err, cluster.ErrMember), errors.Is(err, kv.ErrNotLeader), errors.Is(err, kv.ErrConflict),
		errors.Is(err, kv.ErrTruncated), errors.Is(err, kv.ErrOutOfRange):
		return http.StatusConflict
	case errors.Is(err, cluster.ErrNoLeader), errors.Is(err, cluster.ErrStopped), errors.Is(err, cluster.ErrClosed),
		errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
