//go:build linux || darwin || freebsd

package vfs

import (
	"math"
	"syscall"
)

// freeSpace leaves out the blocks reserved for the superuser, on systems that count them.
func freeSpace(dir string) (int64, error) {
	var found syscall.Statfs_t
	if err := syscall.Statfs(dir, &found); err != nil {
		return 0, err
	}
	blocks, size := int64(found.Bavail), int64(found.Bsize)
	if size > 0 && blocks > math.MaxInt64/size {
		return math.MaxInt64, nil
	}
	return max(0, blocks*size), nil // Some systems return a negative number once reserved blocks are in use.
}
