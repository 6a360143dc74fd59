package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	headerTimeout = 5 * time.Second
	headerMax     = 16 << 10
	idleTimeout   = time.Minute
	replyTimeout  = 30 * time.Second // For reading a request and writing the answer, unless they are long.
)

// EndTimeout is how long End waits for requests in progress.
const EndTimeout = 5 * time.Second

// NewServer returns the server of an admin listener, which has limits against callers that send slowly.
func NewServer(routes http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: routes, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerMax,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// End ends the server of an admin listener. A request that doesn't end in time, such as a long backup, is cut off, which its caller sees.
func End(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), EndTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return server.Close()
}

// IsLoopback reports whether a host is this machine, which others don't reach.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// FromHere keeps out the pages in a browser on this machine, which reach a loopback address under a name that they have chosen, and what
// pages of another origin would change.
func FromHere(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if r.TLS == nil && !IsLoopback(host) {
			Fail(w, http.StatusMisdirectedRequest, fmt.Errorf("%q is no loopback address", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// IsKnown reports whether a caller may do more than ask how the server is: one over TLS needs a certificate of the authority.
func IsKnown(r *http.Request) bool { return r.TLS == nil || len(r.TLS.VerifiedChains) > 0 }

// Probe answers with a word, or why not.
func Probe(probe func(ctx context.Context) error, timeout time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		LimitTime(w)
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		if err := probe(ctx); err != nil {
			http.Error(w, OneLine(err), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
}

// LimitTime keeps a caller that neither sends nor reads from holding the connection.
func LimitTime(w http.ResponseWriter) {
	deadline := time.Now().Add(replyTimeout)
	control := http.NewResponseController(w)
	_ = errors.Join(control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline)) // The server's connections have both.
}

// MetricsType is the type of a page of metrics.
const MetricsType = "text/plain; version=0.0.4; charset=utf-8"

// Fail answers that something isn't done.
func Fail(w http.ResponseWriter, status int, err error) {
	WriteJSON(w, status, Failure{Kind: KindError, Error: OneLine(err)})
}

// WriteJSON answers with an object.
func WriteJSON(w http.ResponseWriter, status int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(object) // The caller is gone, or not.
}

// OneLine returns an error's text in one line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
