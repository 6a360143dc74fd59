package server

import (
	"math"
	"strconv"
)

// parseInt reads an integer as Redis writes it: no sign but a minus, no leading zeros, no spaces.
func parseInt(text []byte) (n int64, ok bool) {
	digits := text
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		digits = text[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(text) > 1 {
		return 0, false
	}
	var size uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		size = size*10 + uint64(c-'0') // 19 digits are less than 1<<64.
	}
	switch {
	case negative && size <= -math.MinInt64:
		return -int64(size), true
	case !negative && size <= math.MaxInt64:
		return int64(size), true
	}
	return 0, false
}

// appendInt appends an integer as parseInt reads it.
func appendInt(to []byte, n int64) []byte { return strconv.AppendInt(to, n, 10) }
