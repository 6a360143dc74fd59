package snapshot

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Names in a directory of snapshots are the offset in twenty digits, so that a listing sorts. A snapshot being written has
// temporarySuffix until it is whole and durable. This package leaves every other name alone.
const (
	nameDigits      = 20
	nameSuffix      = ".snap"
	temporarySuffix = vfs.TemporarySuffix
)

// Path returns the path of the snapshot as of an offset in a directory.
func Path(dir string, offset uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", nameDigits, offset, nameSuffix))
}

// parseName returns the offset in a path that Path returned; ok is false for any other path.
func parseName(path string) (offset uint64, ok bool) {
	digits, found := strings.CutSuffix(filepath.Base(path), nameSuffix)
	if !found || len(digits) != nameDigits {
		return 0, false
	}
	offset, err := strconv.ParseUint(digits, 10, 64)
	return offset, err == nil && digits[0] != '+'
}

// isTemporary reports whether a name is that of a snapshot being written.
func isTemporary(name string) bool {
	name, found := strings.CutSuffix(name, temporarySuffix)
	if !found {
		return false
	}
	_, ok := parseName(name)
	return ok
}
