package kernel

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// kvctlDir is where kvctl is, once it was needed. Every user may go there.
var kvctlDir string

// buildKvctl builds kvctl and returns its path.
var buildKvctl = sync.OnceValues(func() (path string, err error) {
	if kvctlDir, err = os.MkdirTemp("", "walnut-kernel"); err != nil {
		return "", err
	}
	path = filepath.Join(kvctlDir, "kvctl")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../../cmd/kvctl").CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return path, os.Chmod(kvctlDir, 0o755)
})

func removeKvctl() {
	if kvctlDir != "" {
		_ = os.RemoveAll(kvctlDir)
	}
}

// ran is what a run of kvctl came to.
type ran struct {
	code           int
	stdout, stderr string
}

// kvctl runs kvctl.
func kvctl(t *testing.T, args ...string) ran {
	t.Helper()
	r, err := run(exec.Command(kvctlPath(t), args...))
	require.NoError(t, err)
	return r
}

// kvctlPath returns where kvctl is.
func kvctlPath(t *testing.T) string {
	t.Helper()
	path, err := buildKvctl()
	require.NoError(t, err)
	return path
}

// run runs a command. An error is that of starting it.
func run(cmd *exec.Cmd) (ran, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return ran{}, err
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, nil
}

// requireRan requires an exit code of kvctl and what it writes to standard error, a pattern.
func requireRan(t *testing.T, code int, stderr string, r ran) {
	t.Helper()
	require.Equal(t, code, r.code, "%+v", r)
	require.Regexp(t, stderr, r.stderr)
	require.NotContains(t, r.stderr, "panic")
	require.NotContains(t, r.stderr, "goroutine")
}

// files returns the content of every file below a directory, by name, with its mode.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content := []byte(nil)
		if info.Mode().IsRegular() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		found[path] = info.Mode().String() + " " + string(content)
		return nil
	}))
	return found
}
