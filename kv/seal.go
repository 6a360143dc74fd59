package kv

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// Small files in a store's directory are text of some lines, which ends with a line that has the checksum of those before it.

// sealLine is the last line: CRC-32C.
const sealLine = "sum %08x\n"

var errSeal = errors.New("the file is not as it was written")

// sealed returns the text with its last line.
func sealed(text string) []byte {
	return fmt.Appendf([]byte(text), sealLine, crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)))
}

// unsealed returns the lines before the last one of a text that begins with a title: its kind and its version. The error is ErrVersion
// where it has another version.
func unsealed(text []byte, title string) (lines []string, err error) {
	at := strings.LastIndex(string(text), "sum ")
	if at < 0 || string(sealed(string(text[:at]))) != string(text) {
		return nil, errSeal
	}
	lines = strings.Split(strings.TrimSuffix(string(text[:at]), "\n"), "\n")
	if lines[0] != title {
		return nil, fmt.Errorf("%w: the file begins with %q, not %q", ErrVersion, lines[0], title)
	}
	return lines[1:], nil
}
