// Command sessions is a server that remembers who is logged in, with sessions that expire:
//
//	go run ./examples/sessions -dir store -listen localhost:8080 &
//	curl -c cookies -d user=ada localhost:8080/login
//	curl -b cookies localhost:8080/me
//
// Whether a user is who they say is for another program to find out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/walnutkv/walnut/examples/serve"
	"github.com/walnutkv/walnut/kv"
)

const (
	cookieName = "session"
	maxForm    = 4 << 10 // Bytes of a request's body.
)

func main() {
	dir := flag.String("dir", "store", "the directory of the store")
	listen := flag.String("listen", "localhost:8080", "the address to listen on")
	ttl := flag.Duration("ttl", 30*time.Minute, "how long a session lasts without a request")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	on, err := net.Listen("tcp", *listen)
	if err == nil {
		err = run(ctx, *dir, on, *ttl)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sessions:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done. The store is closed after the last request.
func run(ctx context.Context, dir string, on net.Listener, ttl time.Duration) (err error) {
	defer on.Close()
	db, err := kv.OpenContext(ctx, dir, kv.Options{Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	slog.Info("listening", "address", on.Addr())
	return serve.Until(ctx, on, handler(&sessions{db: db, ttl: ttl, now: time.Now}))
}

func handler(s *sessions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("GET /me", s.me)
	mux.HandleFunc("POST /logout", s.logout)
	return http.MaxBytesHandler(http.NewCrossOriginProtection().Handler(mux), maxForm)
}

func (s *sessions) login(w http.ResponseWriter, r *http.Request) {
	user := r.PostFormValue("user")
	if user == "" {
		http.Error(w, "the form has no user", http.StatusBadRequest)
		return
	}
	token, err := s.begin(r.Context(), user)
	if err != nil {
		refuse(w, r, err)
		return
	}
	http.SetCookie(w, cookie(r, token, 0))
	w.WriteHeader(http.StatusNoContent)
}

func (s *sessions) me(w http.ResponseWriter, r *http.Request) {
	user, err := s.user(r.Context(), token(r))
	if err != nil {
		refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, user)
}

func (s *sessions) logout(w http.ResponseWriter, r *http.Request) {
	if err := s.end(token(r)); err != nil {
		refuse(w, r, err)
		return
	}
	http.SetCookie(w, cookie(r, "", -1))
	w.WriteHeader(http.StatusNoContent)
}

// token returns the token of a request, empty if it has none.
func token(r *http.Request) string {
	sent, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return sent.Value
}

func cookie(r *http.Request, token string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: token, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode,
	}
}

// refuse answers with what the client can do about an error, and logs what it can't.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errNoSession):
		http.Error(w, "log in first", http.StatusUnauthorized)
	case r.Context().Err() != nil: // The client is gone.
	case errors.Is(err, kv.ErrNoSpace), errors.Is(err, kv.ErrFailed), errors.Is(err, kv.ErrClosed):
		slog.Error("store refuses", "path", r.URL.Path, "error", err)
		http.Error(w, "try again later", http.StatusServiceUnavailable)
	default:
		slog.Error("request failed", "path", r.URL.Path, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}
