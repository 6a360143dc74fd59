//go:build unix

package main

import "syscall"

// limitSocket gives a socket that has no name yet the mode which its name will have. Systems other than Linux refuse that.
func limitSocket(fd uintptr) { _ = syscall.Fchmod(int(fd), socketMode) }
