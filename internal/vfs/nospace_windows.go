package vfs

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isSystemNoSpace reports an error of a full disk that has a number of this system's own.
func isSystemNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
