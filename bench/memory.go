package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
)

// weigh returns the most memory that the process has resident while something runs, as a multiple of the heap that is live
// afterwards. What it doesn't need any more is given back to the system first, and what it had before anything was opened is
// left out. Mapped files count as far as they are in memory.
func (r *run) weigh(do func()) (multiple float64) {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // 5 resets the peak.
	do()
	peak := memoryOf("VmHWM:") - r.bare
	multiple = float64(peak) / float64(liveHeap())
	r.report(peakMultiple, multiple)
	return multiple
}

// memoryOf returns a size in bytes that the system reports of the process; 0 where it reports none.
func memoryOf(field string) int64 {
	status, _ := os.ReadFile("/proc/self/status")
	words := strings.Fields(string(status))
	place := slices.Index(words, field)
	if place < 0 {
		return 0
	}
	kilobytes, _ := strconv.ParseInt(words[place+1], 10, 64)
	return kilobytes << 10
}

// liveHeap returns how many bytes of the Go heap are reachable.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // The second frees what finalizers and pools held.
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// collectorTime returns the processor's seconds that the garbage collector took so far, and those of the program. The runtime
// counts both when a collection ends.
func collectorTime() (collector, program float64) {
	samples := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/user:cpu-seconds"}}
	metrics.Read(samples)
	return samples[0].Value.Float64(), samples[1].Value.Float64()
}
