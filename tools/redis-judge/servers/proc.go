package servers

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Resident returns the memory that the process has resident, in bytes, as Linux counts it.
func (s *Server) Resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", s.PID())
}

// Descriptors returns how many descriptors the process has open.
func (s *Server) Descriptors() (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	return len(entries), err
}

// Goroutines ends a process of Go's by SIGQUIT, upon which it prints the stacks of all goroutines, and returns how many
// there were. There should be few: the output that is kept is limited.
func (s *Server) Goroutines() (count int, err error) {
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return 0, err
	}
	<-s.ended
	for line := range strings.Lines(s.Output()) {
		if strings.HasPrefix(line, "goroutine ") {
			count++
		}
	}
	if count == 0 {
		return 0, fmt.Errorf("%s printed no stacks: %s", s.Name, s.Output())
	}
	return count, nil
}
