package vfs

import (
	"errors"
	"syscall"
)

// IsNoSpace reports whether an error is that of a full disk, of an exhausted quota, or of a file that must not become larger, by
// RLIMIT_FSIZE or since the file system has no larger ones.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) || isSystemNoSpace(err)
}
