package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLogIsHeldUntilReleased(t *testing.T) {
	var out bytes.Buffer
	held := &heldLog{to: &out}
	logger := (&app{}).logger(held)
	logger.Info("routine")
	logger.Warn("cut", "bytes", 7)
	require.Empty(t, out.String())
	held.release()
	require.Equal(t, "level=WARN msg=cut bytes=7\n", out.String())
	logger.Warn("more")
	require.Contains(t, out.String(), "msg=more\n")

	logger.Error("the command says so itself")
	require.NotContains(t, out.String(), "itself")

	out.Reset()
	(&app{verbose: true}).logger(&out).Info("routine")
	require.Equal(t, "level=INFO msg=routine\n", out.String())
}
