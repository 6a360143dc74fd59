//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package vfs

import (
	"errors"
	"io/fs"
)

// lockFile always fails: without a lock that ends with its holder, two processes could write to one store.
func lockFile(name string) (Lock, error) {
	return nil, &fs.PathError{Op: "lock", Path: name, Err: errors.ErrUnsupported}
}
