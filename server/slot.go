package server

import "bytes"

// slots is how many parts the keys of a Redis cluster have. All of them are on the node that leads.
const slots = 1 << 14

// slotOf returns the slot of a key: of what is between its first braces, if there is anything, so that keys can share a slot.
func slotOf(key []byte) int {
	if open := bytes.IndexByte(key, '{'); open >= 0 {
		if size := bytes.IndexByte(key[open+1:], '}'); size > 0 {
			key = key[open+1 : open+1+size]
		}
	}
	return int(crc16(key) % slots)
}

// crc16 is the checksum of XMODEM.
func crc16(text []byte) (sum uint16) {
	for _, b := range text {
		sum ^= uint16(b) << 8
		for range 8 {
			carry := sum & (1 << 15)
			if sum <<= 1; carry != 0 {
				sum ^= 0x1021
			}
		}
	}
	return sum
}

// slot returns that of a request's first key, 0 where it has none.
func (r *request) slot() int {
	if r.command == nil {
		return 0
	}
	for _, key := range r.command.keys.of(r.args) {
		return slotOf(key)
	}
	return 0
}
