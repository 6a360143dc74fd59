package server

// LZF is the compression that Redis uses: literal bytes, and copies of bytes that came before.
//
//	000LLLLL                      L+1 bytes follow
//	LLLDDDDD dddddddd             copy L+2 bytes from D*256+d+1 before the end
//	111DDDDD LLLLLLLL dddddddd    copy L+9 bytes from there
const (
	lzfLiterals = 1 << 5 // Smaller first bytes begin literals.
	lzfLong     = 7      // The length in the first byte that a second one is added to.
	lzfGrowth   = 88     // How many times as long a text gets at most: three bytes make 7+255+2.
)

// expandLZF returns a text of size bytes from its compressed form, and false where that isn't its form. The caller has
// checked that the form is long enough for the size.
func expandLZF(packed []byte, size int) (text []byte, ok bool) {
	if size == 0 {
		return nil, true // Redis doesn't look at the rest then.
	}
	text = make([]byte, 0, size)
	for len(packed) > 0 {
		first := packed[0]
		if packed = packed[1:]; first < lzfLiterals {
			n := int(first) + 1
			if n > len(packed) || n > size-len(text) {
				return nil, false
			}
			text, packed = append(text, packed[:n]...), packed[n:]
			continue
		}
		length, distance, used := lzfCopy(first, packed)
		if packed = packed[used:]; used == 0 || distance > len(text) || length > size-len(text) {
			return nil, false
		}
		for range length { // A copy may have bytes that it has just made.
			text = append(text, text[len(text)-distance])
		}
	}
	return text, len(text) == size
}

// lzfCopy reads a copy whose first byte has been read: its length, how far back it begins, and how many bytes more it
// used, 0 where some are missing.
func lzfCopy(first byte, rest []byte) (length, distance, used int) {
	length = int(first >> 5)
	if length == lzfLong {
		used = 1
	}
	if len(rest) < used+1 {
		return 0, 0, 0
	}
	if used == 1 {
		length += int(rest[0])
	}
	distance = int(first&(lzfLiterals-1))<<8 | int(rest[used])
	return length + 2, distance + 1, used + 1
}
