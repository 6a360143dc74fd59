package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFileLimitWritesEveryAppendOnce(t *testing.T) {
	log := openFileLimit(t.TempDir())
	together(16, func() { log.Append([]byte("record")) })
	log.Close()
	content, err := os.ReadFile(log.file.Name())
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("record", 16), string(bytes.Trim(content, "\x00")))
}
