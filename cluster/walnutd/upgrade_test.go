//go:build unix

package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/snapshot"
)

var (
	oldFlag      = flag.String("upgrade.old", "", "the git revision of the older programs; by default the last one that reads only snapshots of format 1")
	upgradesFlag = flag.Int("upgrade.rounds", 1, "how often a cluster is upgraded and downgraded")
)

// upgrade is a cluster whose nodes are processes of either program.
type upgrade struct {
	*redisTrio
	program map[string]string // That of each node.
	running map[string]*exec.Cmd
	clients *retrying
}

// newer is this program. The older one is the path of another one.
const newer = "newer"

// git runs git in this repository, and skips the test where that fails.
func git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil && *oldFlag == "" {
		t.Skipf("there is no older program: git %s: %v (in a shallow clone the history is missing)", args[0], err)
	}
	require.NoError(t, err, "git %v", args)
	return strings.TrimSpace(string(out))
}

// buildOlder builds walnutd of an older revision.
func buildOlder(t *testing.T) (path string) {
	revision := *oldFlag
	if revision == "" {
		newest, _, _ := strings.Cut(git(t, "log", "--reverse", "--format=%H", "-SformatUnsummed", "--", "snapshot/header.go"), "\n")
		revision = newest + "^"
	}
	revision = git(t, "rev-parse", "--verify", revision+"^{commit}")
	dir := t.TempDir()
	git(t, "archive", "--output", filepath.Join(dir, "old.tar"), revision)
	run := func(in string, words ...string) {
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir = in
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", words, out)
	}
	run(dir, "tar", "-xf", "old.tar")
	source := filepath.Join(dir, "cluster", "walnutd")
	hurry(t, source)
	path = filepath.Join(dir, "walnutd")
	run(source, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", path, ".")
	t.Logf("the older programs are those of revision %.12s", revision)
	return path
}

// hurry gives an older program the options that this one has where it is hurried.
func hurry(t *testing.T, source string) {
	file, err := os.ReadFile("hurried_test.go")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(source, "hurried.go"), file, 0o600))
	program, err := os.ReadFile(filepath.Join(source, "main.go"))
	require.NoError(t, err)
	const begins = "\nfunc main() {\n"
	require.Contains(t, string(program), begins)
	program = []byte(strings.Replace(string(program), begins, begins+"\thurriedMain()\n", 1))
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"), program, 0o600))
}

// launch starts a node's program.
func (u *upgrade) launch(name string) (*exec.Cmd, *logged) {
	bin := u.program[name]
	if bin == newer {
		bin = os.Args[0]
	}
	cmd, log := exec.Command(bin, u.flags[name]...), &logged{}
	cmd.Env, cmd.Stderr = append(os.Environ(), "WALNUTD_TEST="+hurried), log
	require.NoError(u.t, cmd.Start())
	u.running[name] = cmd
	u.t.Cleanup(func() {
		_ = cmd.Process.Kill() // It has ended already, as a rule.
		_ = cmd.Wait()
		if u.t.Failed() {
			u.t.Log(name, bin, log)
		}
	})
	return cmd, log
}

// begin starts a node of a program and waits until it is ready.
func (u *upgrade) begin(name, program string) {
	u.t.Helper()
	u.program[name] = program
	u.launch(name)
	u.waitReady(name)
}

// finish stops a node as an operator does.
func (u *upgrade) finish(name string) {
	u.t.Helper()
	require.NoError(u.t, u.running[name].Process.Signal(syscall.SIGTERM))
	require.NoError(u.t, u.running[name].Wait(), "exit code 0")
}

// replace lets a node go on with another program.
func (u *upgrade) replace(name, program string) {
	u.t.Helper()
	u.finish(name)
	u.begin(name, program)
}

// status returns what a node says of itself, once it says it.
func (u *upgrade) status(name string) (found admin.Node) {
	u.t.Helper()
	why := ""
	waitUntil(u.t, func() bool {
		s, err := u.client(name).Status(soon(u.t))
		why = fmt.Sprint(err)
		for _, n := range s.Nodes {
			if n.Name == name {
				found = n
			}
		}
		return err == nil && found.Name == name
	}, &why)
	return found
}

// lead lets a node lead.
func (u *upgrade) lead(name string) {
	u.t.Helper()
	why := ""
	waitUntil(u.t, func() bool {
		_, err := u.client(name).Transfer(soon(u.t), name)
		s, errStatus := u.client(name).Status(soon(u.t))
		why = fmt.Sprint(err, errStatus, s.Leader)
		return errStatus == nil && s.Leader == name
	}, &why)
}

var received = regexp.MustCompile(`(?m)^walnut_cluster_snapshots_received_total\{.*\} (\d+)$`)

// received returns how many snapshots a node was sent since it was started.
func (u *upgrade) received(name string) int {
	u.t.Helper()
	_, page := u.get(name, admin.PathMetrics)
	found := received.FindStringSubmatch(page)
	require.NotNil(u.t, found, page)
	n, err := strconv.Atoi(found[1])
	require.NoError(u.t, err)
	return n
}

// sendSnapshot stops a node until the leader has let go of what the node lacks, so that it is sent a snapshot.
func (u *upgrade) sendSnapshot(leader, to string) {
	u.t.Helper()
	u.lead(leader)
	u.finish(to)
	last := u.status(leader).Last
	why := ""
	waitUntil(u.t, func() bool {
		first := u.status(leader).First
		why = fmt.Sprintf("node %s has entries from %d on, %s none from %d on", leader, first, to, last+1)
		return first > last+1
	}, &why)
	u.lead(leader)
	u.begin(to, u.program[to])
	waitUntil(u.t, func() bool { return u.received(to) > 0 }, &why)
}

// requireAlike shows that all nodes hold the same, as their checksums and their backups say.
func (u *upgrade) requireAlike() {
	u.t.Helper()
	why := ""
	waitUntil(u.t, func() bool {
		sums, states := map[string]bool{}, map[string]bool{}
		for _, name := range names {
			n := u.status(name)
			require.Empty(u.t, n.Trouble)
			if u.program[name] == newer {
				sums[fmt.Sprint(n.Applied, " ", n.Checksum)] = true
			}
			states[u.state(name)] = true
		}
		why = fmt.Sprint(sums, states)
		return len(sums) == 1 && len(states) == 1
	}, &why)
}

// state returns a digest of what a node holds.
func (u *upgrade) state(name string) string {
	u.t.Helper()
	answer, err := http.Get("http://" + u.admin[name] + admin.PathBackup)
	require.NoError(u.t, err)
	defer func() { _ = answer.Body.Close() }()
	in, err := snapshot.NewReader(answer.Body, snapshot.Options{})
	require.NoError(u.t, err)
	digest := sha256.New()
	for e, err := range in.Entries() {
		require.NoError(u.t, err)
		fmt.Fprintf(digest, "%q %q\n", e.Key, e.Data)
	}
	return fmt.Sprintf("%d %x", in.Header().Offset, digest.Sum(nil))
}

// TestARollingUpgradeFailsNoRequestAndLosesNothing upgrades a cluster node by node beside clients that retry, and lets older and newer programs lead
// and send each other snapshots. Then it restarts the newer ones, and downgrades one.
func TestARollingUpgradeFailsNoRequestAndLosesNothing(t *testing.T) {
	older := buildOlder(t)
	for range *upgradesFlag {
		u := &upgrade{redisTrio: newRedisTrio(t), program: map[string]string{}, running: map[string]*exec.Cmd{}}
		u.run(older)
	}
}

func (u *upgrade) run(older string) {
	for _, name := range names {
		u.flags[name] = append(u.flags[name], "--heartbeat", heartbeatFlag.String(), "--lease", (*heartbeatFlag * 3 / 4).String())
		u.program[name] = older
		u.launch(name)
	}
	for _, name := range names {
		u.waitReady(name)
	}
	u.clients = newClients(u.t, u.redis)
	u.clients.start()

	u.replace("a", newer)
	u.sendSnapshot("a", "b")
	u.sendSnapshot("b", "a")
	u.replace("b", newer)
	u.replace("c", newer)
	for _, name := range names {
		u.replace(name, newer)
	}
	u.clients.judge(u.dial)
	u.requireAlike()

	u.clients.start()
	u.downgrade("a", older)
	u.clients.judge(u.dial)
	u.requireAlike()
}

// downgrade lets a node go on with the older program. One that doesn't read the newer one's snapshots says so, and has to begin as a new node.
func (u *upgrade) downgrade(name, older string) {
	u.t.Helper()
	u.finish(name)
	u.program[name] = older
	cmd, log := u.launch(name)
	status := 0
	waitUntil(u.t, func() bool {
		status, _ = u.get(name, admin.PathReady)
		return status == http.StatusOK || strings.Contains(log.String(), snapshot.ErrVersion.Error())
	}, new(string))
	if status == http.StatusOK {
		require.NotEmpty(u.t, *oldFlag, "it reads format 1 alone")
		return
	}
	require.Error(u.t, cmd.Wait())
	_, err := u.client("b").Remove(soon(u.t), name)
	require.NoError(u.t, err)
	require.NoError(u.t, os.RemoveAll(filepath.Join(u.dir, name)))
	u.begin(name, older)
	waitUntil(u.t, func() bool { return u.status(name).Voter }, new(string))
}
