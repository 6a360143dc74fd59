//go:build !windows

package vfs

// isSystemNoSpace reports nothing: this system's errors of a full disk are those of POSIX.
func isSystemNoSpace(error) bool { return false }
