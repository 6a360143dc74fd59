package vfs

import (
	"errors"
	"syscall"
)

// IsNoSpace reports whether an error is that of a full disk or of an exhausted quota.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || isSystemNoSpace(err)
}
