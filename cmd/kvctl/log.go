package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
)

// logger returns the logger for the store: it writes warnings, and with --verbose also routine lines. It leaves out the
// time, since a command's lines are read as they come, and errors, since a command prints the error that ends it. A server's log has both: it
// goes on for long, and after errors.
func (a *app) logger(w io.Writer) *slog.Logger {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelInfo
	}
	if a.serving {
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(belowError{slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if attr.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return attr
		},
	})})
}

// belowError leaves errors out.
type belowError struct{ slog.Handler }

// Enabled reports whether a line of this level is wanted.
func (h belowError) Enabled(ctx context.Context, level slog.Level) bool {
	return level < slog.LevelError && h.Handler.Enabled(ctx, level)
}

// heldLog keeps lines back until it is released, and then passes them on. If opening a store fails, the lines are dropped:
// the error says the same, and an error is one line.
type heldLog struct {
	mu       sync.Mutex
	to       io.Writer
	held     bytes.Buffer
	released bool
}

// Write keeps a line or passes it on.
func (h *heldLog) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released {
		return h.to.Write(line)
	}
	return h.held.Write(line)
}

// release passes on the lines kept back.
func (h *heldLog) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	// A log that can't be written is no reason to fail.
	_, _ = h.held.WriteTo(h.to)
}
