package cluster

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"
)

func TestWhatTheConsensusLogsReachesSlog(t *testing.T) {
	var out bytes.Buffer
	log := newRaftLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: withoutTime})))
	log.Debug("not shown")
	log.Named("net").With("peer", "b").Warn("slow", "times", hclog.Fmt("%d of %d", 2, 3))
	require.Equal(t, "level=WARN msg=\"raft.net: slow\" peer=b times=\"2 of 3\"\n", out.String())
	require.True(t, log.IsInfo())
	require.False(t, log.IsDebug())
	require.Equal(t, hclog.Info, log.GetLevel())
	out.Reset()
	log.StandardLogger(nil).Print("a line")
	require.Equal(t, "level=INFO msg=\"a line\"\n", out.String())
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
