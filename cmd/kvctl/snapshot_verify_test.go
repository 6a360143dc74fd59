package main

import (
	"bufio"
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestVerifySkipsASnapshotThatACheckpointRemovedMeanwhile(t *testing.T) {
	gone := kv.SnapshotFile{Path: filepath.Join(t.TempDir(), "gone.snap"), Bytes: 10}
	for _, c := range []struct {
		name   string
		listed bool
		want   string
	}{
		{"a snapshot from the listing may be removed", true, "0 snapshots verified, 0 damaged\n"},
		{"one that was asked for by name may not", false, "failed  " + gone.Path},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			v := &verification{app: &app{stdout: bufio.NewWriter(&out)}, listed: c.listed}
			v.verify(t.Context(), gone)
			err := v.printAll()
			require.NoError(t, v.app.stdout.Flush())
			require.Contains(t, out.String(), c.want)
			require.Equal(t, c.listed, err == nil)
			require.EqualValues(t, 10, v.read.Load())
		})
	}
}
