package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFileLimitWritesEveryAppendOnce(t *testing.T) {
	dir := t.TempDir()
	log, err := openFileLimit(dir)
	require.NoError(t, err)
	require.NoError(t, together(16, func() error { return log.Append([]byte("record")) }))
	require.NoError(t, log.Close())
	content, err := os.ReadFile(log.file.Name())
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("record", 16), string(bytes.Trim(content, "\x00")))
}
