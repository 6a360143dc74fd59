//go:build !unix && !windows

package vfs

import "os"

// openSystem opens a file. It follows symbolic links, which this system can't be asked not to do.
func openSystem(name string, flag int) (*os.File, error) { return os.OpenFile(name, flag, fileMode) }
