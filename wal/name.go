package wal

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Names of the files in a log's directory. A segment's two files are named by its base offset in twenty digits, so that
// a listing sorts; what is being made has temporarySuffix until it is whole. Everything else is somebody else's.
const (
	storeSuffix     = ".store"
	indexSuffix     = ".index"
	temporarySuffix = vfs.TemporarySuffix

	nameDigits = 20
)

func joinName(dir, name string) string { return filepath.Join(dir, name) }

func storeName(base uint64) string { return fmt.Sprintf("%0*d%s", nameDigits, base, storeSuffix) }
func indexName(base uint64) string { return fmt.Sprintf("%0*d%s", nameDigits, base, indexSuffix) }

// parseName returns the base offset of a file with this suffix, if the name is one that storeName or indexName makes.
func parseName(name, suffix string) (base uint64, ok bool) {
	digits, found := strings.CutSuffix(name, suffix)
	if !found || len(digits) != nameDigits {
		return 0, false
	}
	base, err := strconv.ParseUint(digits, 10, 64)
	return base, err == nil && base > 0 && digits[0] != '+'
}

// isTemporary reports whether a name is that of a store or index that was being made.
func isTemporary(name string) bool {
	name, found := strings.CutSuffix(name, temporarySuffix)
	_, isStore := parseName(name, storeSuffix)
	_, isIndex := parseName(name, indexSuffix)
	return found && (isStore || isIndex)
}

// quarantineName names the file that keeps what was cut from a store: their checksum tells cuts at one place apart.
func quarantineName(base uint64, position int64, sum uint32) string {
	return fmt.Sprintf("%s.%d.%08x", storeName(base), position, sum)
}
