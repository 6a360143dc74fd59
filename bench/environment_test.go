package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEnvironmentHasTheCommandWithoutWhatOnlyPlacesThings(t *testing.T) {
	require.Equal(t, "walnut-bench -workloads W1 -together -rounds=2", commandOf([]string{
		"/some/where/walnut-bench", "-workloads", "W1", "-dir", "/some/disk", "-together", "--out=a.jsonl", "-rounds=2",
		"-about", "On a quiet night.", "-markdown", "page.md", "-pictures", "pictures",
	}))
}

func TestEnvironmentIsTold(t *testing.T) {
	e := newEnvironment(t.TempDir())
	require.Positive(t, e.Cores)
	for _, field := range []string{e.Processor, e.Memory, e.System, e.FileSystem, e.Go, e.Walnut, e.Date, e.Command} {
		require.NotEmpty(t, field)
		require.Contains(t, e.String(), field)
	}
	require.Contains(t, e.caption(), e.Walnut)
}
