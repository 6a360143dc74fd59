package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryNameIsSyncedBeforeAnythingRestsOnIt looks at the system calls of a process under strace. Whenever the process says that a
// store is open, a commit done or a checkpoint taken, and before a segment or snapshot is removed, each directory in which a name was
// made, replaced or removed has been synced since; and a file gets its name once it is synced. The disk in memory can't see whether
// the calls to the system are made at all.
func TestEveryNameIsSyncedBeforeAnythingRestsOnIt(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "trace")
	j := newJudge(writers{Count: 1, Kept: 10, Bytes: 500})
	p := j.startUnder(t, task{Dir: filepath.Join(dir, "new", "store"), Archive: filepath.Join(dir, "archive"), SegmentSize: 16 << 10, Every: 40, More: 130},
		[]string{strace, "-f", "-y", "-s", "200", "-o", file, "-e", "trace=" + strings.Join(nameCalls, ",")})
	if said := p.until("ended"); said != "" {
		t.Fatal(said)
	}
	require.Empty(t, p.close())
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	seen := newNameTrace(dir)
	for line := range strings.Lines(string(data)) {
		require.NoError(t, seen.add(line))
	}
	t.Logf("%v", seen.counts)
	for call, least := range map[string]int{"mkdirat": 5, "renameat": 7, "linkat": 1, "unlinkat": 3, "fsync": 15, "says": 130} {
		require.GreaterOrEqual(t, seen.counts[call], least, "the trace was not understood, or the test does too little: %v", seen.counts)
	}
}

var nameCalls = []string{"openat", "renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "fsync", "fdatasync", "pwrite64", "write"}

// nameTrace is what a trace of system calls has said so far.
type nameTrace struct {
	below    string
	begun    map[string]string // By thread: the first half of a call that another thread's interrupted.
	unsynced map[string]string // By directory: the call that changed a name in it which isn't synced yet.
	written  map[string]bool   // Files that were written to and not synced since.
	counts   map[string]int
}

func newNameTrace(below string) *nameTrace {
	return &nameTrace{below: below, begun: map[string]string{}, unsynced: map[string]string{}, written: map[string]bool{}, counts: map[string]int{}}
}

var (
	traced  = regexp.MustCompile(`^(\d+) +(.*)$`)
	resumed = regexp.MustCompile(`^<\.\.\. \w+ resumed>(.*)$`)
	aCall   = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+)`)
	ofFile  = regexp.MustCompile(`^\d+<([^>]*)>`)
	quoted  = regexp.MustCompile(`"([^"]*)"`)
)

// add takes a line of strace. An error is a rule that it breaks.
func (n *nameTrace) add(line string) error {
	parts := traced.FindStringSubmatch(strings.TrimSpace(line))
	if parts == nil {
		return nil
	}
	thread, text := parts[1], parts[2]
	if half, found := strings.CutSuffix(text, "<unfinished ...>"); found {
		n.begun[thread] = half
		return nil
	}
	if rest := resumed.FindStringSubmatch(text); rest != nil {
		text = n.begun[thread] + rest[1]
	}
	call := aCall.FindStringSubmatch(text)
	if call == nil || strings.HasPrefix(call[3], "-") {
		return nil
	}
	return n.done(call[1], call[2])
}

// done takes a call that succeeded.
func (n *nameTrace) done(call, args string) error {
	file, names := "", []string(nil)
	if of := ofFile.FindStringSubmatch(args); of != nil {
		file = of[1]
	}
	for _, name := range quoted.FindAllStringSubmatch(args, -1) {
		names = append(names, name[1])
	}
	switch {
	case call == "write" && strings.HasPrefix(args, "1<"):
		n.counts["says"]++
		return n.requireSynced("the process says " + strings.Join(names, ""))
	case strings.HasSuffix(call, "write"), call == "pwrite64":
		n.written[file] = true
	case strings.HasSuffix(call, "sync"):
		n.counts[call]++
		delete(n.unsynced, file)
		delete(n.written, file)
	case len(names) > 0 && strings.HasPrefix(names[len(names)-1], n.below) && (call != "openat" || strings.Contains(args, "O_CREAT")):
		n.counts[call]++
		return n.changed(call, names)
	}
	return nil
}

// changed takes a call that changed names. Indexes may be lost, and so may temporary names and the lock's file.
func (n *nameTrace) changed(call string, names []string) error {
	name := names[len(names)-1]
	if slices.Contains([]string{".tmp", ".index"}, filepath.Ext(name)) || filepath.Base(name) == "LOCK" {
		return nil
	}
	if call == "unlinkat" {
		for dir, earlier := range n.unsynced {
			if !strings.HasPrefix(earlier, call) { // Nothing rests on another removal.
				return fmt.Errorf("removing %s: %s was not synced after %s", name, dir, earlier)
			}
		}
	}
	if strings.HasPrefix(call, "rename") && n.written[names[0]] {
		return fmt.Errorf("%s gets its name and was not synced", name)
	}
	n.unsynced[filepath.Dir(name)] = call + " " + name
	return nil
}

// requireSynced returns an error if a name isn't durable yet that the process takes for durable.
func (n *nameTrace) requireSynced(what string) error {
	for dir, call := range n.unsynced {
		return fmt.Errorf("%s: %s was not synced after %s", what, dir, call)
	}
	return nil
}

// TestATraceWithoutASyncIsNoticed gives the rules lines that break them.
func TestATraceWithoutASyncIsNoticed(t *testing.T) {
	rename := []string{`7 renameat(AT_FDCWD</>, "/s/a.tmp", AT_FDCWD</>, "/s/a") = 0`}
	says := `7 write(1<pipe:[1]>, "did 0 1\n", 8) = 8`
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"a name and no sync", append(rename, says), "/s was not synced after renameat /s/a"},
		{"a name and a sync of another directory", append(rename, `7 fsync(5</t>) = 0`, says), "/s was not synced"},
		{"a name and a sync that failed", append(rename, `7 fsync(5</s>) = -1 EIO (Input/output error)`, says), "/s was not synced"},
		{"a name and a sync", append(rename, `7 fsync(5</s>) = 0`, says), ""},
		{"a sync in two halves", append(rename, `7 fsync(5</s> <unfinished ...>`, `8 fsync(6</t>) = 0`, `7 <... fsync resumed>) = 0`, says), ""},
		{"a rename that failed", []string{`7 renameat(AT_FDCWD</>, "/s/a.tmp", AT_FDCWD</>, "/s/a") = -1 ENOENT (No such file)`, says}, ""},
		{"a temporary name", []string{`7 openat(AT_FDCWD</>, "/s/a.tmp", O_RDWR|O_CREAT, 0600) = 5</s/a.tmp>`, says}, ""},
		{"a file without a sync", append([]string{`7 pwrite64(5</s/a.tmp>, "x", 1, 0) = 1`}, rename...), "/s/a gets its name and was not synced"},
		{"a removal that rests on a name", append(rename, `7 unlinkat(AT_FDCWD</>, "/s/b", 0) = 0`), "removing /s/b"},
		{"two removals", []string{`7 unlinkat(AT_FDCWD</>, "/s/a", 0) = 0`, `7 unlinkat(AT_FDCWD</>, "/s/b", 0) = 0`}, ""},
		{"a removal and no sync", []string{`7 unlinkat(AT_FDCWD</>, "/s/a", 0) = 0`, says}, "/s was not synced after unlinkat /s/a"},
		{"a directory", []string{`7 mkdirat(AT_FDCWD</>, "/s/d", 0700) = 0`, says}, "/s was not synced after mkdirat"},
		{"what isn't the store's", []string{`7 mkdirat(AT_FDCWD</>, "/elsewhere/d", 0700) = 0`, says}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen, err := newNameTrace("/s"), error(nil)
			for _, line := range c.lines {
				if err == nil {
					err = seen.add(line)
				}
			}
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}
