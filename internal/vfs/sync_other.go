//go:build !linux

package vfs

import "os"

// syncFile is the strongest sync that the system has: F_FULLFSYNC on darwin.
func syncFile(f *os.File) error { return f.Sync() }

// Reserve is Allocate.
func (f *osFile) Reserve(size int64) error { return f.Allocate(size) }
