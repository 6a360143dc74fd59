//go:build unix

package server

import (
	"syscall"
	"time"
)

// cpuTimes returns how long the process has run, in itself and in the system.
func cpuTimes() (user, system time.Duration, known bool) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, 0, false
	}
	return time.Duration(used.Utime.Nano()), time.Duration(used.Stime.Nano()), true
}
