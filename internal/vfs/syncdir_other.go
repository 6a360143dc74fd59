//go:build !windows

package vfs

import (
	"errors"
	"os"
	"syscall"
)

// syncDir syncs a directory.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil // Some file systems can't sync a directory. Their names are as durable as they can be.
	}
	return errors.Join(err, d.Close())
}
