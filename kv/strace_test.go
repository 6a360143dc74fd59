package kv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const straceChildEnv = "WALNUT_TEST_STRACE_CHILD"

// TestADurablePutCostsOneWriteAndOneSync counts the system calls of a child process under strace, where that is
// installed: a put by one goroutine is one write and one fdatasync, many goroutines share both, and no other call on
// files grows with the number of puts.
func TestADurablePutCostsOneWriteAndOneSync(t *testing.T) {
	if dir := os.Getenv(straceChildEnv); dir != "" {
		straceChild(t, dir)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	const puts = 1000
	alone, none := countCalls(t, strace, puts, 1), countCalls(t, strace, 0, 1)
	require.InDelta(t, puts, alone["fdatasync"]-none["fdatasync"], 20, "%v", alone)
	require.InDelta(t, puts, alone["pwrite64"]-none["pwrite64"], 20, "%v", alone)
	for call, count := range alone {
		if call != "fdatasync" && call != "pwrite64" {
			require.Less(t, count-none[call], 40, "%s grows with the number of puts: %v, without puts %v", call, alone, none)
		}
	}
	shared := countCalls(t, strace, puts, 64)
	require.Less(t, shared["fdatasync"], puts/4, "%v", shared)
	require.Less(t, shared["pwrite64"], puts/4, "%v", shared)
	t.Logf("1 goroutine: %v; 64 goroutines: %v", alone, shared)
}

// fileCalls are the calls that touch files or names; a store has no business with others.
const fileCalls = "trace=fdatasync,fsync,sync_file_range,msync,pwrite64,write,writev,pread64,openat,rename,renameat,renameat2," +
	"unlink,unlinkat,ftruncate,fallocate,mmap,munmap,newfstatat,fstat,getdents64,flock,mkdirat"

// countCalls counts the calls that a child makes for this many puts.
func countCalls(t *testing.T, strace string, puts, goroutines int) map[string]int {
	dir := t.TempDir()
	summary := filepath.Join(dir, "summary")
	child := exec.Command(strace, "-f", "-c", "-e", fileCalls, "-o", summary,
		os.Args[0], "-test.run=^TestADurablePutCostsOneWriteAndOneSync$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d,%d", straceChildEnv, filepath.Join(dir, "store"), puts, goroutines), "GODEBUG=", "GOGC=off")
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	data, err := os.ReadFile(summary)
	require.NoError(t, err)
	counts := map[string]int{}
	for _, line := range regexp.MustCompile(`(?m)^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$`).FindAllStringSubmatch(string(data), -1) {
		counts[line[2]], err = strconv.Atoi(line[1])
		require.NoError(t, err)
	}
	delete(counts, "total")
	return counts
}

// straceChild is the child: it puts as often as it is told.
func straceChild(t *testing.T, told string) {
	var puts, goroutines int
	parts := regexp.MustCompile(`^(.*),(\d+),(\d+)$`).FindStringSubmatch(told)
	puts, _ = strconv.Atoi(parts[2])
	goroutines, _ = strconv.Atoi(parts[3])
	db, err := Open(parts[1], Options{})
	require.NoError(t, err)
	var writers sync.WaitGroup
	for g := range goroutines {
		writers.Go(func() {
			for n := range puts / goroutines {
				if _, err := db.Put(fmt.Appendf(nil, "key %d %d", g, n), []byte("value")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	require.NoError(t, db.Close())
}

func TestASmallStoreIsSmallOnDisk(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(dir, Options{})
	require.NoError(t, err)
	for n := range 10 {
		_, err := db.Put(fmt.Appendf(nil, "key %d", n), []byte("value"))
		require.NoError(t, err)
	}
	require.Less(t, diskUse(t, dir), int64(1<<20), "while open")
	require.NoError(t, db.Close())
	require.Less(t, diskUse(t, dir), int64(64<<10), "after a clean close")
}

// diskUse returns how many bytes the files of a directory take on disk, as du has it.
func diskUse(t *testing.T, dir string) int64 {
	out, err := exec.Command("du", "-s", "--block-size=1", dir).Output()
	if err != nil {
		t.Skip("no du that counts in bytes")
	}
	var size int64
	_, err = fmt.Sscan(string(out), &size)
	require.NoError(t, err)
	return size
}
