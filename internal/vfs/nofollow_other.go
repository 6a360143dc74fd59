//go:build !unix

package vfs

// noFollow is nothing: this system can't refuse symbolic links.
const noFollow = 0
