package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAnEmptyFlagOfAChangeIsWrongUsage gives each what an unset variable in a script leaves, on a store that KVCTL_DIR names.
func TestAnEmptyFlagOfAChangeIsWrongUsage(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	copied := store + ".walnut"
	env := func(name string) string {
		return map[string]string{"KVCTL_DIR": store, "KVCTL_ADMIN": newWalnutd(t)}[name]
	}
	kvctl := func(args ...string) (code int, out, stderr string) {
		var stdout, said bytes.Buffer
		code = run(args, bytes.NewReader(nil), &stdout, &said, env)
		return code, stdout.String(), said.String()
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		code, _, stderr := kvctl("put", key, "1")
		require.Zero(t, code, stderr)
	}
	code, _, stderr := kvctl("backup", copied)
	require.Zero(t, code, stderr)
	for _, c := range []struct {
		flag string
		args []string
	}{
		{"prefix", []string{"del", "--prefix", "", "--start", "c"}},
		{"start", []string{"del", "--start", "", "--end", "b"}},
		{"end", []string{"del", "--start", "a", "--end", ""}},
		{"to-time", []string{"--dir", store + "2", "restore", copied, "--to-time", ""}},
		{"archive", []string{"checkpoint", "--archive", ""}},
		{"archive", []string{"wal", "repair", "--archive", ""}},
		{"dir", []string{"--dir", "", "put", "a", "2"}},
		{"dir", []string{"--dir", "", "del", "a"}},
		{"dir", []string{"--dir", "", "txn", "-"}},
		{"dir", []string{"--dir", "", "import", "-"}},
		{"dir", []string{"--dir", "", "shell"}},
		{"dir", []string{"--dir", "", "serve"}},
		{"users", []string{"serve", "--listen", "127.0.0.1:0", "--users", ""}},
		{"password-file", []string{"serve", "--listen", "127.0.0.1:0", "--password-file", ""}},
		{"tls-ca", []string{"serve", "--listen", "127.0.0.1:0", "--tls-ca", ""}},
		{"dir", []string{"--dir", "", "restore", copied}},
		{"dir", []string{"--dir", "", "snapshot", "prune"}},
		{"admin", []string{"cluster", "--admin", "", "join", "a", "a:7000"}},
		{"admin", []string{"cluster", "--admin", "", "transfer"}},
		{"admin", []string{"cluster", "--admin", "", "remove", "a"}},
		{"admin", []string{"cluster", "--admin", "", "recover", "--members", "a", "--apply"}},
		{"admin", []string{"cluster", "--admin", "", "restore", copied}},
	} {
		code, out, stderr := kvctl(c.args...)
		require.Equal(t, []any{exitUsage, ""}, []any{code, out}, "%q: %s", c.args, stderr)
		require.Contains(t, stderr, "kvctl: --"+c.flag+" is empty; leave it out for the default (see kvctl ", "%q", c.args)
	}
	code, out, stderr := kvctl("--dir", "", "scan", "--prefix", "", "--count")
	require.Equal(t, []any{exitDone, "4\n", ""}, []any{code, out, stderr}, "a command that reads does no harm")
}
