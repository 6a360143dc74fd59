package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag with a number of bytes, such as 512MiB. 0 is what it is without a value.
type byteSize int64

var byteUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"", 1}}

// String returns the size in the largest unit in which it is whole, and nothing for 0.
func (s *byteSize) String() string {
	text := ""
	for _, unit := range byteUnits[:len(byteUnits)-1] {
		if n := int64(*s); n > 0 && n%unit.bytes == 0 {
			text = strconv.FormatInt(n/unit.bytes, 10) + unit.suffix
		}
	}
	if text == "" && *s > 0 {
		text = strconv.FormatInt(int64(*s), 10)
	}
	return text
}

// Type returns what help shows in place of the value.
func (s *byteSize) Type() string { return "SIZE" }

// Set reads a size.
func (s *byteSize) Set(text string) error {
	for _, unit := range byteUnits {
		number, found := strings.CutSuffix(text, unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 1 || n > math.MaxInt64/unit.bytes {
			break
		}
		*s = byteSize(n * unit.bytes)
		return nil
	}
	return fmt.Errorf("want a number of bytes, such as 512MiB or 2GiB")
}
