package vfs

import (
	"os"
	"path/filepath"
	"strings"
)

// Within asks the system which directories are the same, since one directory may have several paths: by links, by mounts, or where case
// doesn't count in names.
func (osFS) Within(name, dir string) bool {
	at, root := resolve(name), resolve(dir)
	rootInfo, err := os.Stat(root)
	isThere := err == nil
	for {
		if at == root {
			return true
		}
		if info, err := os.Stat(at); isThere && err == nil && os.SameFile(info, rootInfo) {
			return true
		}
		parent := filepath.Dir(at)
		if parent == at {
			return false
		}
		at = parent
	}
}

// resolve returns a path without links. What can't be found at its end stays as it is.
func resolve(name string) string {
	at, rest := filepath.Clean(name), ""
	if abs, err := filepath.Abs(name); err == nil {
		at = abs
	}
	for {
		if found, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(found, rest)
		}
		parent := filepath.Dir(at)
		if parent == at {
			return filepath.Join(at, rest)
		}
		at, rest = parent, filepath.Join(filepath.Base(at), rest)
	}
}

// Within implements FS. A Mem has no links.
func (m *Mem) Within(name, dir string) bool { return within(clean(name), clean(dir)) }

// Within implements FS. A Lean has no links.
func (l *Lean) Within(name, dir string) bool { return within(clean(name), clean(dir)) }

func within(at, dir string) bool {
	return at == dir || strings.HasPrefix(at, strings.TrimSuffix(dir, "/")+"/")
}
