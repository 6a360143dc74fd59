// Package mutants plants mistakes in copies of the source, one at a time, and checks that a test finds each. The claims in
// docs/testing.md rest on it. It takes minutes, so it runs only on request: make mutants.
package mutants

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var run = flag.Bool("mutants", false, "plant the mistakes; without it only their places in the source are checked")

// mutant is one planted mistake.
type mutant struct {
	mistake string
	file    string
	old     string // Occurs exactly once in the file.
	new     string
	module  string // The directory of the nested module that the test is in, if it is.
	pkg     string
	test    string // The tests that must fail, as go test -run takes them.
	args    []string
}

const (
	crashTest  = "TestEveryCrashLeavesAPrefix"
	faultsTest = "TestAFaultAtAnyCall"
)

func TestEveryPlantedMistakeIsFound(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	for _, m := range mutants {
		t.Run(m.mistake, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join(root, m.file))
			require.NoError(t, err, "the mutant %q is of a file that can't be read", m.mistake)
			if found := strings.Count(string(source), m.old); found != 1 {
				t.Fatalf("%s: the code that the mutant %q changes occurs %d times, want once. Give the mutant in list_test.go the code "+
					"as it is now, or drop it:\n%s", m.file, m.mistake, found, m.old)
			}
			if !*run {
				return
			}
			dir := t.TempDir()
			copyModule(t, root, dir)
			changed := strings.Replace(string(source), m.old, m.new, 1)
			require.NoError(t, os.WriteFile(filepath.Join(dir, m.file), []byte(changed), 0o600))
			requireFound(t, dir, m)
		})
	}
}

// requireFound checks that the changed copy builds, and that the test fails on it.
func requireFound(t *testing.T, dir string, m mutant) {
	t.Helper()
	build := exec.Command("go", "vet", m.pkg)
	build.Dir = filepath.Join(dir, m.module)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "the planted mistake must compile: %s", out)

	start := time.Now()
	test := exec.Command("go", append([]string{"test", m.pkg, "-count=1", "-run", m.test, "-timeout=5m"}, m.args...)...)
	test.Dir = build.Dir
	out, err = test.CombinedOutput()
	require.Error(t, err, "the planted mistake was not found: %s", out)
	require.Contains(t, string(out), "--- FAIL", "the test must fail, not break")
	t.Logf("found after %v: %s", time.Since(start).Round(time.Millisecond), firstFinding(string(out)))
}

// firstFinding returns the first line of output that names a test file.
func firstFinding(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "_test.go:") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(out)
}

// copyModule copies the module's source.
func copyModule(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case entry.IsDir() && (name == ".git" || name == "bin" || name == "dist"):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(target, 0o700)
		case !entry.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o600)
	}))
}
