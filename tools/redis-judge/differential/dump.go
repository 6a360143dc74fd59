package differential

import (
	"encoding/binary"
	"hash/crc64"
	"math"
	"strings"
	"time"

	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// dumping makes commands that carry values as Redis encodes them, and MOVE.
func (g *generator) dumping() []string {
	switch g.IntN(6) {
	case 0, 1:
		return []string{"DUMP", g.key()}
	case 2:
		return []string{"MOVE", g.key(), g.pick("0", "1", "-1", "abc", "99999999999")}
	}
	args := []string{"RESTORE", g.key(), g.pick("0", g.lifetime(millis)), g.dump()}
	if g.chance(4) {
		args[2] = g.instant(millis)
		args = append(args, g.anyCase("ABSTTL"))
	}
	for g.chance(2) {
		switch g.IntN(5) {
		case 0, 1, 2:
			args = append(args, g.anyCase("REPLACE"))
		case 3:
			args = append(args, g.anyCase("IDLETIME"), g.pick("0", "100", "-1", "abc"))
		case 4:
			args = append(args, g.anyCase("FREQ"), g.pick("0", "255", "256", "-1", "abc"))
		}
	}
	return args
}

// dump returns the dump of a string, or nearly one.
func (g *generator) dump() string {
	body := g.pick(
		"\x00\x03abc", "\x00\x00", "\x00\x40\x03abc", "\x00\x80\x00\x00\x00\x03abc", "\x00\x81\x00\x00\x00\x00\x00\x00\x00\x03abc",
		"\x00\xc0\xff", "\x00\xc1\x00\x80", "\x00\xc2\xff\xff\xff\x7f", // Integers.
		"\x00\xc3\x06\x15\x01xx\xe0\x0a\x00", "\x00\xc3\x0a\x18\x03abca\xe0\x0a\x02\x00c", // Compressed.
		"\x00\x03abcdef", "\x00\x0eabc", "\x00\x0dabc", "\x00\xc0", "\x00\xc4abc", "\x00\x82abc", "", "\x00",
		"\x00\xc3\x04\x00\x02abc", "\x00\xc3\x04\x04\x02abc", "\x00\xc3\x04\x02\x02abc", "\x00\xc3\x05\x05\x01ab\x20\x05",
		"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xffabc", "\x00\xc3\x04\x80\x7f\xff\xff\xff\x02abc", "\x01\x82abc", "\xc8\x03abc",
	)
	dump := sealed(body, [2]byte{byte(g.IntN(11)), 0})
	switch g.IntN(12) {
	case 0:
		return sealed(body, [2]byte{11, 0})
	case 1:
		return dump[:g.IntN(len(dump))]
	case 2:
		return strings.Replace(dump, "abc", "abd", 1)
	}
	return dump
}

// sealed returns a dump with its footer: Redis' version of the encoding, and a checksum.
func sealed(body string, version [2]byte) string {
	dump := append([]byte(body), version[:]...)
	return string(binary.LittleEndian.AppendUint64(dump, ^crc64.Update(math.MaxUint64, jones, dump)))
}

// jones is the table of Redis' checksum.
var jones = crc64.MakeTable(0x95ac9329ac4bc9b5)

// sameDump reports whether both are sound dumps of the same string, of which Redis compressed one.
func sameDump(a, b resp.Reply, _ time.Duration) bool {
	const footer = 10
	if a.Kind != '$' || b.Kind != '$' || !isSound(a.Text) || !isSound(b.Text) {
		return false
	}
	return strings.HasPrefix(a.Text, "\x00\xc3") && strings.HasPrefix(b.Text, "\x00") &&
		expanded(a.Text[2:len(a.Text)-footer]) == plain(b.Text[1:len(b.Text)-footer])
}

// isSound reports whether the footer of a dump is that of Redis 7.0.
func isSound(dump string) bool {
	return len(dump) > 12 && sealed(dump[:len(dump)-10], [2]byte{10, 0}) == dump
}

// length cuts a length off the start of what is left of a dump.
func length(left string) (n int, rest string) {
	switch left[0] >> 6 {
	case 0:
		return int(left[0]), left[1:]
	case 1:
		return int(left[0]&0x3f)<<8 | int(left[1]), left[2:]
	}
	return int(binary.BigEndian.Uint32([]byte(left[1:5]))), left[5:]
}

// plain returns a string after its length.
func plain(left string) string {
	n, text := length(left)
	if n != len(text) {
		return ""
	}
	return text
}

// expanded returns a string that Redis has compressed.
func expanded(left string) string {
	_, left = length(left)
	n, left := length(left)
	var text []byte
	for left != "" {
		size, first := int(left[0]>>5), left[0]
		if left = left[1:]; size == 0 {
			text, left = append(text, left[:first+1]...), left[first+1:]
			continue
		}
		if size == 7 {
			size, left = size+int(left[0]), left[1:]
		}
		from := len(text) - int(first&0x1f)<<8 - int(left[0]) - 1
		left = left[1:]
		for i := range size + 2 {
			text = append(text, text[from+i])
		}
	}
	if n != len(text) {
		return ""
	}
	return string(text)
}
