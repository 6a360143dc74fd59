//go:build !(linux || darwin || freebsd)

package vfs

import "errors"

// freeSpace doesn't know how to ask this system.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
