package snapshot

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Names in a directory of snapshots: the offset in twenty digits, so that a listing sorts; what is being written has
// temporarySuffix until it is whole and durable. Everything else is somebody else's.
const (
	nameDigits      = 20
	nameSuffix      = ".snap"
	temporarySuffix = ".tmp"
)

// Path returns where in a directory the snapshot as of an offset is.
func Path(dir string, offset uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", nameDigits, offset, nameSuffix))
}

// parseName returns the offset that a path made by Path is for; ok is false for any other.
func parseName(path string) (offset uint64, ok bool) {
	digits, found := strings.CutSuffix(filepath.Base(path), nameSuffix)
	if !found || len(digits) != nameDigits {
		return 0, false
	}
	offset, err := strconv.ParseUint(digits, 10, 64)
	return offset, err == nil && digits[0] != '+'
}

// isTemporary reports whether a name is that of a snapshot that was being written.
func isTemporary(name string) bool {
	name, found := strings.CutSuffix(name, temporarySuffix)
	if !found {
		return false
	}
	_, ok := parseName(name)
	return ok
}
