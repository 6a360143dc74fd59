package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/kv"
)

const (
	askTimeout    = 2 * time.Second  // For the answers of the other nodes.
	changeTimeout = 20 * time.Second // For a change of the members or the leader.
	replyTimeout  = 30 * time.Second // For reading a request and writing the answer, backups and restores aside.
	requestMax    = 64 << 10         // Bytes of a request.
)

// routes are what the admin listener answers. Probes and metrics are for everybody who reaches it; with TLS everything else is for callers
// with a certificate of the authority.
func (d *daemon) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+admin.PathHealth, d.plain(d.health))
	mux.HandleFunc("GET "+admin.PathReady, d.plain(d.ready))
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
	return fromHere(http.NewCrossOriginProtection().Handler(mux))
}

// fromHere keeps out the pages in a browser on this machine, which reach a loopback address under a name that they have chosen. Those of
// another origin change nothing anyway.
func fromHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if r.TLS == nil && !isLoopback(host) {
			fail(w, http.StatusMisdirectedRequest, fmt.Errorf("%q is no loopback address", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// errOpening is what is answered until the node is open.
var errOpening = errors.New("the node is being opened")

// guarded keeps callers without a certificate out, where the listener has TLS.
func (d *daemon) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && len(r.TLS.VerifiedChains) == 0 {
			fail(w, http.StatusForbidden, errors.New("this needs a certificate of the cluster's authority"))
			return
		}
		next(w, r)
	}
}

// plain answers a probe: a word, or why not.
func (d *daemon) plain(probe func(ctx context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		limitTime(w)
		ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
		defer cancel()
		if err := probe(ctx); err != nil {
			http.Error(w, oneLine(err), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
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
	limitTime(w)
	node := d.node.Load()
	if node == nil {
		http.Error(w, errOpening.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	err := node.WritePrometheus(w, kv.Label{Name: "cluster", Value: d.flags.options.Cluster}, kv.Label{Name: "node", Value: d.flags.options.Node})
	if err != nil {
		d.log.Debug("metrics can't be written", "error", err)
	}
}

// object answers with an object.
func (d *daemon) object(answer func(r *http.Request, node *cluster.Cluster) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		limitTime(w)
		node := d.node.Load()
		if node == nil {
			fail(w, http.StatusServiceUnavailable, errOpening)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, requestMax)
		object, err := answer(r, node)
		if err != nil {
			fail(w, statusOf(err), err)
			return
		}
		writeJSON(w, http.StatusOK, object)
	}
}

// limitTime keeps a caller that neither sends nor reads from holding the connection.
func limitTime(w http.ResponseWriter) {
	deadline := time.Now().Add(replyTimeout)
	control := http.NewResponseController(w)
	_ = errors.Join(control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline)) // The server's connections have both.
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

func fail(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, admin.Failure{Kind: admin.KindError, Error: oneLine(err)})
}

func writeJSON(w http.ResponseWriter, status int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(object) // The caller is gone, or not.
}
