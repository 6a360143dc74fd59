package cluster

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLog passes on to slog what the consensus logs.
type raftLog struct {
	log     *slog.Logger
	name    string
	implied []any
}

func newRaftLog(log *slog.Logger) hclog.Logger { return &raftLog{log: log, name: "raft"} }

// levels are slog's for those of hclog. What raft finds worth a line at level info is about the consensus' insides.
var levels = map[hclog.Level]slog.Level{
	hclog.Trace: slog.LevelDebug - 4,
	hclog.Debug: slog.LevelDebug,
	hclog.Info:  slog.LevelInfo,
	hclog.Warn:  slog.LevelWarn,
	hclog.Error: slog.LevelError,
}

// Log implements hclog.Logger.
func (l *raftLog) Log(level hclog.Level, msg string, args ...any) {
	at, known := levels[level]
	if !known || !l.log.Enabled(context.Background(), at) {
		return
	}
	l.log.Log(context.Background(), at, l.name+": "+msg, formatted(args)...)
}

// formatted returns arguments with those formatted that say how.
func formatted(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		if f, is := arg.(hclog.Format); is && len(f) > 0 {
			arg = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		out[i] = arg
	}
	return out
}

// Trace implements hclog.Logger.
func (l *raftLog) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }

// Debug implements hclog.Logger.
func (l *raftLog) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }

// Info implements hclog.Logger.
func (l *raftLog) Info(msg string, args ...any) { l.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (l *raftLog) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (l *raftLog) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

// IsTrace implements hclog.Logger.
func (l *raftLog) IsTrace() bool { return l.is(hclog.Trace) }

// IsDebug implements hclog.Logger.
func (l *raftLog) IsDebug() bool { return l.is(hclog.Debug) }

// IsInfo implements hclog.Logger.
func (l *raftLog) IsInfo() bool { return l.is(hclog.Info) }

// IsWarn implements hclog.Logger.
func (l *raftLog) IsWarn() bool { return l.is(hclog.Warn) }

// IsError implements hclog.Logger.
func (l *raftLog) IsError() bool { return l.is(hclog.Error) }

func (l *raftLog) is(level hclog.Level) bool {
	return l.log.Enabled(context.Background(), levels[level])
}

// ImpliedArgs implements hclog.Logger.
func (l *raftLog) ImpliedArgs() []any { return l.implied }

// With implements hclog.Logger.
func (l *raftLog) With(args ...any) hclog.Logger {
	implied := append(append([]any{}, l.implied...), args...)
	return &raftLog{log: l.log.With(formatted(args)...), name: l.name, implied: implied}
}

// Name implements hclog.Logger.
func (l *raftLog) Name() string { return l.name }

// Named implements hclog.Logger.
func (l *raftLog) Named(name string) hclog.Logger { return l.ResetNamed(l.name + "." + name) }

// ResetNamed implements hclog.Logger.
func (l *raftLog) ResetNamed(name string) hclog.Logger {
	return &raftLog{log: l.log, name: name, implied: l.implied}
}

// SetLevel implements hclog.Logger. The level is slog's business.
func (l *raftLog) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (l *raftLog) GetLevel() hclog.Level {
	for level := hclog.Trace; level < hclog.Error; level++ {
		if l.is(level) {
			return level
		}
	}
	return hclog.Error
}

// StandardLogger implements hclog.Logger.
func (l *raftLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.log.Handler(), slog.LevelInfo)
}

// StandardWriter implements hclog.Logger.
func (l *raftLog) StandardWriter(opts *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(opts).Writer()
}
