// Package judged gives tests the servers that they judge, by the flags -target, -kvctl and -walnutd.
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
		"which server is judged: walnut, redis, leader or follower of three walnutd, or the address of one that runs already, "+
			"which loses what it holds")
	kvctlFlag   = flag.String("kvctl", "", "the kvctl that serves; it is built of this repository otherwise")
	walnutdFlag = flag.String("walnutd", "", "the same for walnutd")
)

// Programs of this process' tests, and the directories that they were built in.
var (
	kvctl   = sync.OnceValues(func() (string, error) { return program(*kvctlFlag, servers.Kvctl) })
	walnutd = sync.OnceValues(func() (string, error) { return program(*walnutdFlag, servers.Walnutd) })
	built   []string
)

// program returns the path of the one that is given, or builds one.
func program(given string, build func(dir string) (string, error)) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	dir, err := os.MkdirTemp("", "judged")
	if err != nil {
		return "", err
	}
	built = append(built, dir)
	return build(dir)
}

// Main runs a package's tests and removes what was built for them.
func Main(m *testing.M) {
	flag.Parse()
	code := m.Run()
	for _, dir := range built {
		_ = os.RemoveAll(dir)
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
		kvctl, err := kvctl()
		require(t, err)
		s, err := servers.Walnut(kvctl, t.TempDir(), walnut...)
		return ready(t, s, err)
	case *targetFlag == "leader", *targetFlag == "follower":
		return node(t, *targetFlag == "leader")
	}
	t.Fatalf("-target=%s is none of walnut, redis, leader, follower, and HOST:PORT", *targetFlag)
	return nil
}

// node returns a node of three, as a server that runs already: one alone can't be started again.
func node(t testing.TB, leads bool) *servers.Server {
	trio := Trio(t)
	leader, err := trio.Leader()
	require(t, err)
	if !leads {
		leader = (leader + 1) % len(trio.Nodes)
	}
	return &servers.Server{Name: "walnutd", Address: trio.Nodes[leader].Address}
}

// Trio returns three nodes of walnutd, whatever -target says. Where walnutd can't be built the test is skipped.
func Trio(t testing.TB) *servers.Trio {
	t.Helper()
	walnutd, err := walnutd()
	require(t, err)
	trio, err := servers.Walnuts(walnutd, t.TempDir())
	require(t, err)
	t.Cleanup(func() {
		trio.Kill()
		for _, node := range trio.Nodes {
			if output := node.Output(); t.Failed() {
				t.Logf("%s printed in the end:\n%s", node.Name, output[max(0, len(output)-2000):])
			}
		}
	})
	return trio
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
