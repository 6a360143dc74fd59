//go:build !(linux || darwin || freebsd || windows)

package vfs

import "errors"

// freeSpace isn't supported on this system.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
