package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// probeTimeout is how long a probe may take.
const probeTimeout = 2 * time.Second

// adminListener answers probes, and has metrics and profiles. A nil one does nothing.
//
// Invariant: served is nil until the store is open and served, and stays set when it is closed.
type adminListener struct {
	log      *slog.Logger
	http     *http.Server
	served   atomic.Pointer[servedStore]
	draining atomic.Bool
}

type servedStore struct {
	db  *kv.DB
	srv *server.Server
}

// openAdmin opens the admin listener, if there is to be one. It has TLS where the server has, but probes and metrics need no certificate.
func (d *daemon) openAdmin(log *slog.Logger) (*adminListener, error) {
	if d.flags.admin == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", d.flags.admin)
	if err != nil {
		return nil, err
	}
	if d.certs != nil && !isLocal(d.flags.admin) {
		listener = tls.NewListener(listener, d.certs.Server(tls.VerifyClientCertIfGiven, tls.VersionTLS12))
	}
	a := &adminListener{log: log}
	a.http = admin.NewServer(a.routes(), log)
	go func() {
		if err := a.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin listener ended", "error", err)
		}
	}()
	return a, nil
}

func (a *adminListener) opened(db *kv.DB, srv *server.Server) {
	if a != nil {
		a.served.Store(&servedStore{db, srv})
	}
}

// drains makes probes say that the server takes no more.
func (a *adminListener) drains() {
	if a != nil {
		a.draining.Store(true)
	}
}

func (a *adminListener) end() error {
	if a == nil {
		return nil
	}
	return admin.End(a.http)
}

func (a *adminListener) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+admin.PathHealth, admin.Probe(a.health, probeTimeout))
	mux.HandleFunc("GET "+admin.PathReady, admin.Probe(a.ready, probeTimeout))
	mux.HandleFunc("GET "+admin.PathMetrics, a.metrics)
	for path, profile := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		mux.HandleFunc("GET /debug/pprof/"+path, guarded(profile))
	}
	return admin.FromHere(mux)
}

// guarded keeps callers without a certificate out, where the listener has TLS: a profile shows much, and takes time.
func guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !admin.IsKnown(r) {
			admin.Fail(w, http.StatusForbidden, errors.New("this needs a certificate of the authority"))
			return
		}
		next(w, r)
	}
}

var (
	errOpening = errors.New("the store is being opened")
	errEnding  = errors.New("the server ends")
)

// health fails where only a restart helps: the store takes no more writes.
func (a *adminListener) health(context.Context) error {
	if s := a.served.Load(); s != nil {
		return s.db.Stats().Failed
	}
	return nil
}

func (a *adminListener) ready(ctx context.Context) error {
	switch {
	case a.served.Load() == nil:
		return errOpening
	case a.draining.Load():
		return errEnding
	}
	return a.health(ctx)
}

func (a *adminListener) metrics(w http.ResponseWriter, _ *http.Request) {
	admin.LimitTime(w)
	s := a.served.Load()
	if s == nil {
		http.Error(w, errOpening.Error(), http.StatusServiceUnavailable)
		return
	}
	var page bytes.Buffer
	if err := errors.Join(s.db.Stats().WritePrometheus(&page), s.srv.WritePrometheus(&page)); err != nil {
		http.Error(w, admin.OneLine(err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", admin.MetricsType)
	if _, err := w.Write(page.Bytes()); err != nil {
		a.log.Debug("metrics can't be written", "error", err)
	}
}
