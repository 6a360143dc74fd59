// Package judged gives tests the servers that they judge, by the flags -target and -kvctl.
package judged

import (
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/walnutkv/walnut/tools/redis-judge/servers"
)

var (
	targetFlag = flag.String("target", "walnut",
		"which server is judged: walnut, redis, or the address of one that runs already, which loses what it holds")
	kvctlFlag = flag.String("kvctl", "", "the kvctl that serves; it is built of this repository otherwise")
)

// built is the kvctl of this process' tests.
var built = sync.OnceValues(func() (string, error) {
	if *kvctlFlag != "" {
		return filepath.Abs(*kvctlFlag)
	}
	dir, err := os.MkdirTemp("", "kvctl")
	if err != nil {
		return "", err
	}
	path, err := servers.Kvctl(dir)
	if err != nil {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return path, err
})

// Main runs a package's tests and removes what was built for them.
func Main(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if *kvctlFlag == "" && *targetFlag == "walnut" {
		if path, _ := built(); path != "" {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// Target returns the server that is judged. Where it has to be started, the args of the one that it is go to it. Where
// it can't be had the test is skipped.
func Target(t testing.TB, redis, walnut []string) *servers.Server {
	t.Helper()
	switch _, _, err := net.SplitHostPort(*targetFlag); {
	case err == nil:
		return &servers.Server{Name: *targetFlag, Address: *targetFlag}
	case *targetFlag == "redis":
		return Reference(t, redis...)
	case *targetFlag == "walnut":
		kvctl, err := built()
		require(t, err)
		s, err := servers.Walnut(kvctl, t.TempDir(), walnut...)
		return ready(t, s, err)
	}
	t.Fatalf("-target=%s is none of walnut, redis, and HOST:PORT", *targetFlag)
	return nil
}

// Own is Target for a test that kills the server, or looks at its process: it is skipped for one that runs already.
func Own(t testing.TB, redis, walnut []string) *servers.Server {
	t.Helper()
	s := Target(t, redis, walnut)
	if !s.Owned() {
		t.Skip("this test has to start the server itself")
	}
	return s
}

// Reference returns a redis-server.
func Reference(t testing.TB, args ...string) *servers.Server {
	t.Helper()
	s, err := servers.Redis(t.TempDir(), args...)
	return ready(t, s, err)
}

func ready(t testing.TB, s *servers.Server, err error) *servers.Server {
	t.Helper()
	require(t, err)
	t.Cleanup(func() {
		if output := s.Output(); t.Failed() {
			t.Logf("%s printed in the end:\n%s", s.Name, output[max(0, len(output)-2000):])
		}
		require(t, s.Stop())
	})
	return s
}

// require fails the test with an error, but skips it where that is of a program that isn't there.
func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, servers.ErrAbsent):
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
}
