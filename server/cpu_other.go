//go:build !unix

package server

import "time"

// cpuTimes knows nothing here.
func cpuTimes() (user, system time.Duration, known bool) { return 0, 0, false }
