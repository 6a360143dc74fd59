//go:build !unix

package vfs

// noFollow is 0: symbolic links are followed on this system.
const noFollow = 0
