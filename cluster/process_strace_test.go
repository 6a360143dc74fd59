//go:build unix

package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAnEntryCostsEachNodeOneSync counts the system calls of three processes under strace, where that is installed.
func TestAnEntryCostsEachNodeOneSync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	const others = 40 // Syncs of what is no entry: opening, closing, term and vote, members.
	f := emptyFleet(t, func(p *plan) { p.Defaults = true })
	summary := func(name string) string { return filepath.Join(f.dir, name+".calls") }
	for _, name := range f.names {
		f.start(name, len(f.names), strace, "-f", "-c", "-e", "trace=fdatasync,fsync,msync,sync_file_range", "-o", summary(name))
	}
	leader, v := f.leader(), f.visitor()
	defer v.leave()
	puts := 0
	for _, clients := range []int{1, 16} {
		a, err := v.ask(leader, request{Op: "load", Load: &load{Clients: clients, Each: 200 / clients}, Limit: time.Minute})
		require.NoError(t, err)
		require.Zero(t, a.Took.Failed, a.Took.FirstFailure)
		puts += a.Took.Puts
	}
	f.requireAlike()
	for _, name := range f.names {
		a, err := v.ask(name, request{Op: "know"})
		require.NoError(t, err)
		_, _ = v.ask(name, request{Op: "end"})
		<-f.process(name).ended
		text, err := os.ReadFile(summary(name))
		require.NoError(t, err)
		syncs := 0
		for _, line := range regexp.MustCompile(`(?m)^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s.*(?:sync|sync_file_range)$`).FindAllStringSubmatch(string(text), -1) {
			count, err := strconv.Atoi(line[1])
			require.NoError(t, err)
			syncs += count
		}
		t.Logf("node %s: %d puts, %d entries, %d syncs", name, puts, a.Known.Last, syncs)
		require.Less(t, a.Known.Last, uint64(puts), "clients share entries")
		require.LessOrEqual(t, syncs, int(a.Known.Last)+others, "%s", text)
		require.Greater(t, syncs, int(a.Known.Last)/2)
	}
}
