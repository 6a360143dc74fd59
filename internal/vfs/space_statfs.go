//go:build linux || darwin || freebsd

package vfs

import (
	"math"
	"syscall"
)

// freeSpace leaves out what is kept for the superuser, where the system counts that.
func freeSpace(dir string) (int64, error) {
	var found syscall.Statfs_t
	if err := syscall.Statfs(dir, &found); err != nil {
		return 0, err
	}
	blocks, size := int64(found.Bavail), int64(found.Bsize)
	if size > 0 && blocks > math.MaxInt64/size {
		return math.MaxInt64, nil
	}
	return max(0, blocks*size), nil // Some systems count below zero once the superuser's part is being used.
}
