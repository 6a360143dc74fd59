package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func needShell(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh: the commands of the pages are not run")
	}
}

// readSources reads what kvctl is built of: go test keeps a result until a file that the test has read changes.
func readSources(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"cmd", "kv", "wal", "snapshot", "internal"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("../..", dir), func(name string, entry os.DirEntry, err error) error {
			if err == nil && filepath.Ext(name) == ".go" {
				_, err = os.ReadFile(name)
			}
			return err
		}))
	}
}

func TestPagesShowWhatTheirCommandsPrint(t *testing.T) {
	needShell(t)
	if testing.Short() {
		t.Skip("the commands of the pages take too long for a short run")
	}
	readSources(t)
	bin := t.TempDir()
	require.NoError(t, build("../..", bin))
	for _, name := range recorded {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			before, after, err := record("../..", bin, name)
			require.NoError(t, err)
			require.Equal(t, before, after, "make pages records it again")
		})
	}
}

func TestARecordedPageIsRewrittenOnlyWhereItIsWrong(t *testing.T) {
	needShell(t)
	s := &session{ctx: t.Context(), work: t.TempDir(), env: os.Environ()}
	fence := "```"
	cases := []struct{ name, page, want string }{
		{"what is right stays", fence + "console\n$ echo a\na\n" + fence, fence + "console\n$ echo a\na\n" + fence},
		{"what is wrong is replaced", fence + "console\n$ echo a\nb\nc\n" + fence, fence + "console\n$ echo a\na\n" + fence},
		{"a command may go on", fence + "console\n$ echo \\\n  a\n" + fence, fence + "console\n$ echo \\\n  a\na\n" + fence},
		{"a failure shows its exit code", fence + "console\n$ exit 4\n" + fence, fence + "console\n$ exit 4\n[exit code 4]\n" + fence},
		{
			"a time stays", fence + "console\n$ date -u +%FT%TZ\n2020-01-01T00:00:00Z\n" + fence,
			fence + "console\n$ date -u +%FT%TZ\n2020-01-01T00:00:00Z\n" + fence,
		},
		{"other blocks stay", fence + "sh\nexit 1\n" + fence + "\n$ exit 1\n", fence + "sh\nexit 1\n" + fence + "\n$ exit 1\n"},
		{
			"a script is one of the commands",
			fence + "sh\n#!/bin/sh\n# hello.sh says hello.\necho hello\n" + fence + "\n" + fence + "console\n$ ./hello.sh\n" + fence,
			fence + "sh\n#!/bin/sh\n# hello.sh says hello.\necho hello\n" + fence + "\n" + fence + "console\n$ ./hello.sh\nhello\n" + fence,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := s.rewrite(c.page)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	_, err := s.rewrite(fence + "console\nno command\n" + fence)
	require.ErrorContains(t, err, "begins with no command")
}

func TestOnlyWhatVariesIsNotCompared(t *testing.T) {
	require.Equal(t, normal("in 317.91ms (log 2s) at 2026-11-29T09:25:10.1Z"), normal("in 1ms (log 20.85ms)   at 2027-01-01T00:00:00Z"))
	require.Equal(t, normal("in quarantine/01.store.80.c8922d02"), normal("in quarantine/01.store.80.6a6dbe51"))
	require.NotEqual(t, normal("in quarantine/01.store.80.c8922d02"), normal("in quarantine/01.store.81.c8922d02"))
	require.NotEqual(t, normal("35 commits, 34924 keys"), normal("35 commits, 34925 keys"))
	require.NotEqual(t, normal("offset 2: bad"), normal("offset 3: bad"))
}
