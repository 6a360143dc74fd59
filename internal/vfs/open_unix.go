//go:build unix

package vfs

import (
	"os"
	"syscall"
)

// openSystem opens a file. It fails for a symbolic link, and doesn't wait for the other end of a pipe.
func openSystem(name string, flag int) (*os.File, error) {
	return os.OpenFile(name, flag|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, fileMode)
}
