package kernel

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/walnutkv/walnut/kv"
)

// weigh says a weight, for the parent.
func weigh(db *kv.DB, before int) string {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return fmt.Sprint(stats.HeapAlloc, before, memoryOf("VmHWM:"), int64(db.Recovery().Elapsed), db.Offset())
}

// memoryOf returns a number of bytes that the kernel has of this process.
func memoryOf(name string) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, name); found {
			kilobytes, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kilobytes << 10
		}
	}
	panic("no " + name)
}
