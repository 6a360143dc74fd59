// Command metrics serves a store's numbers for Prometheus, and whether it takes commits for whatever restarts programs:
//
//	go run ./examples/metrics -dir store -listen localhost:8080 &
//	curl localhost:8080/metrics
//	curl localhost:8080/healthz
//
// board.json is a dashboard for Grafana, and alerts.yml are rules for Prometheus. Both use these numbers alone.
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

	"github.com/walnutkv/walnut/examples/serve"
	"github.com/walnutkv/walnut/kv"
)

func main() {
	dir := flag.String("dir", "store", "the directory of the store")
	listen := flag.String("listen", "localhost:8080", "the address to listen on")
	follow := flag.Bool("follow", false, "follow a store that another program writes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options := kv.Options{Logger: slog.Default(), ReadOnly: *follow, Follow: *follow}
	on, err := net.Listen("tcp", *listen)
	if err == nil {
		err = run(ctx, *dir, options, on)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, options kv.Options, on net.Listener) (err error) {
	defer on.Close()
	db, err := kv.OpenContext(ctx, dir, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return serve.Until(ctx, on, handler(db))
}

func handler(db *kv.DB) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		if err := db.Stats().WritePrometheus(w); err != nil {
			slog.Warn("metrics not sent", "error", err)
		}
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if failed := db.Stats().Failed; failed != nil {
			slog.Error("unhealthy", "error", failed)
			http.Error(w, "the store has failed: open it again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}
