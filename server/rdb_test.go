package server

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/kv"
)

// FuzzRestore shows that no dump makes the parser fail or take more memory than its bytes can mean, and that every value
// comes back from its dump, and from its compressed form.
func FuzzRestore(f *testing.F) {
	for _, seed := range []string{
		"\x00\x03abc\n\x00\xd9\xac0=Ar\xa2\xe2", "\x00\x40\x03abc", "\x00\x80\x00\x00\x00\x03abc",
		"\x00\x81\x00\x00\x00\x00\x00\x00\x00\x03abc", "\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff", "\x00\x82abc",
		"\x00\xc0\xff", "\x00\xc1\x00\x80", "\x00\xc2\x00\x00\x00\x80",
		"\x00\xc3\x06\x15\x01xx\xe0\n\x00", "\x00\xc3\x04\x00\x02abc", "\x00\xc3\x04\x80\x7f\xff\xff\xff\x02abc",
		"\x00\xc4", "\x01\x01\x03abc", "", "\x00", "0123456789",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		sent = bytes.Clone(sent) // The fuzzer's has a capacity that says nothing.
		read := len(sent)
		if len(sent) > 1 && sent[1] == rdbCompressed {
			read *= lzfGrowth // What it may expand to.
		}
		allocated.Within(t, read, func() {
			isSound(sent)
			_, _ = valueOf(sent)
		})
		value, problem := valueOf(sent)
		if problem == "" {
			require.LessOrEqual(t, cap(value), lzfGrowth*len(sent))
			require.LessOrEqual(t, len(value), kv.MaxValueSize)
		} else {
			require.Nil(t, value)
		}
		for _, value := range [][]byte{sent, value} {
			dump := dumpOf(value)
			require.True(t, isSound(dump))
			restored, problem := valueOf(dump)
			require.Empty(t, problem)
			require.True(t, bytes.Equal(value, restored), "%q became %q", value, restored)
			value = value[:min(len(value), 4<<10)] // To compress it takes long.
			expanded, ok := expandLZF(packLZF(value), len(value))
			require.True(t, ok)
			require.True(t, bytes.Equal(value, expanded), "%q became %q", value, expanded)
		}
	})
}

// packLZF compresses a text: it looks for copies of at least three bytes at their last place.
func packLZF(text []byte) (packed []byte) {
	for at := 0; at < len(text); {
		distance, length := at-bytes.LastIndex(text[:min(len(text), at+2)], text[at:min(len(text), at+3)]), 0
		if distance <= at && distance <= 1<<13 {
			for length < 264 && at+length < len(text) && text[at+length] == text[at+length-distance] {
				length++
			}
		}
		back := distance - 1
		switch {
		case length < 3:
			packed, length = append(packed, 0, text[at]), 1
		case length < 9:
			packed = append(packed, byte((length-2)<<5|back>>8), byte(back))
		default:
			packed = append(packed, byte(lzfLong<<5|back>>8), byte(length-9), byte(back))
		}
		at += length
	}
	return packed
}

// TestAnAnnouncedLengthTakesNoMemory is about dumps that are sound but hostile: they are as cheap to make as others.
func TestAnAnnouncedLengthTakesNoMemory(t *testing.T) {
	large := binary.BigEndian.AppendUint32(nil, 32<<20)
	for name, c := range map[string]struct {
		dump    [][]byte
		problem string
	}{
		"a string":               {[][]byte{{0, rdbLength32}, large}, errBadDump},
		"a string of 2^63 bytes": {[][]byte{{0, rdbLength64, 0x80, 0, 0, 0, 0, 0, 0, 0}}, errBadDump},
		"a compressed string":    {[][]byte{{0, rdbCompressed, 4, rdbLength32}, large, []byte("\x02abc")}, errBadDump},
		"a compressed form":      {[][]byte{{0, rdbCompressed, rdbLength32}, large, []byte("\x03\x02abc")}, errBadDump},
		"a compressed string that is larger than values are": {[][]byte{zeroBomb(kv.MaxValueSize + 1)}, errValueTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			dump := bytes.Join(c.dump, nil)
			_, problem := valueOf(dump)
			require.Equal(t, c.problem, problem)
			require.Zero(t, testing.AllocsPerRun(10, func() { _, _ = valueOf(dump) }))
		})
	}
	value, problem := valueOf(zeroBomb(kv.MaxValueSize))
	require.Empty(t, problem)
	require.Len(t, value, kv.MaxValueSize)
}

// zeroBomb returns the shortest dump of a value that is zeros, without its footer.
func zeroBomb(size int) []byte {
	packed := []byte{0, 0}
	for left := size - 1; left > 0; {
		length := min(left, 264)
		if length < 9 {
			packed = append(packed, 0, 0)
			left--
			continue
		}
		packed = append(packed, lzfLong<<5, byte(length-9), 0)
		left -= length
	}
	dump := binary.BigEndian.AppendUint32([]byte{rdbString, rdbCompressed, rdbLength32}, uint32(len(packed)))
	dump = binary.BigEndian.AppendUint32(append(dump, rdbLength32), uint32(size))
	return append(dump, packed...)
}
