// Package serve runs a server of HTTP until a context ends. The examples that speak HTTP share it.
package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

const (
	// headerWait is how long a client may take to send the head of a request.
	headerWait = 10 * time.Second
	// lastWait is how long requests in progress may take once the context has ended.
	lastWait = 10 * time.Second
)

// Until serves on a listener until ctx is done. It returns once the requests in progress have ended, so that the caller can
// close the store that they use. The error is nil if all of them did.
func Until(ctx context.Context, on net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerWait}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(on) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWait)
	defer cancel()
	err := server.Shutdown(last)
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
