package snapshot

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/internal/vfs"
)

// meant returns how many bytes reading some as a snapshot has to account for: themselves, what the heads of blocks that are there say
// that these expand to, and the entries that are made of that, which are found before they are counted.
func meant(data []byte) (size int) {
	size = len(data)
	h, err := decodeHead(data)
	if err != nil {
		return size
	}
	for position := headSize; position+blockHeadSize <= len(data); {
		b, err := decodeBlockHead(data[position:], h, int64(position))
		if err != nil || b.check(h.compression) != nil || position+int(b.size()) > len(data) {
			return size
		}
		size += int(b.rawSize) + int(b.rawSize)/entrySize([]byte("k"), nil)*int(unsafe.Sizeof(Entry{}))
		position += int(b.size())
	}
	return size
}

// FuzzHeader shows that a header that decodes encodes to the same bytes. It also corrects the checksum, to get past that check.
func FuzzHeader(f *testing.F) {
	h, err := newHead(testHeader(7), S2)
	require.NoError(f, err)
	f.Add(h.appendTo(nil))
	f.Add(make([]byte, headSize))
	f.Add([]byte(headMagic))
	newer := h.appendTo(nil)
	newer[headVersionAt]++
	f.Add(newer)
	f.Fuzz(func(t *testing.T, raw []byte) {
		candidates := [][]byte{raw}
		if len(raw) >= headSize {
			right := bytes.Clone(raw[:headSize])
			binary.LittleEndian.PutUint32(right[headSumAt:], sumOf(right[:headSumAt]))
			candidates = append(candidates, right)
		}
		for _, encoded := range candidates {
			allocated.Within(t, len(encoded), func() { _, _ = decodeHead(encoded) })
			got, err := decodeHead(encoded)
			if err != nil {
				continue
			}
			again := got.appendTo(nil)
			copy(again[headReservedAt:], encoded[headReservedAt:headIDAt]) // Readers don't look at it.
			binary.LittleEndian.PutUint32(again[headSumAt:], sumOf(again[:headSumAt]))
			require.Equal(t, encoded[:headSize], again)
			require.LessOrEqual(t, got.From, got.Offset)
		}
	})
}

// FuzzTrailer shows that a trailer that makes sense encodes to the same bytes, and that any other is refused without a panic
// and without much memory.
func FuzzTrailer(f *testing.F) {
	h, err := newHead(testHeader(7), S2)
	require.NoError(f, err)
	data := specimen(f, S2)
	position, err := decodeFooter(data[len(data)-footerSize:], h)
	require.NoError(f, err)
	f.Add(data[position+blockHeadSize:len(data)-footerSize], uint32(3), position)
	f.Add(make([]byte, totalsSize), uint32(0), int64(headSize))
	f.Add([]byte("short"), uint32(0), int64(0))
	f.Fuzz(func(t *testing.T, payload []byte, blocks uint32, position int64) {
		b := blockHead{trailerMethod, uint32(len(payload)), uint32(len(payload)), blocks, sumOf(payload)}
		rows := len(payload) / rowHeadSize * int(unsafe.Sizeof(row{}))
		allocated.Within(t, len(payload)+rows, func() { _, _ = decodeTrailer(payload, h, b, position) })
		decoded, err := decodeTrailer(payload, h, b, position)
		if err != nil {
			return
		}
		require.Equal(t, payload, decoded.appendTo(nil, h))
		require.Equal(t, b, decoded.head(payload))
		require.Len(t, decoded.rows, int(blocks))
	})
}

// FuzzBlock tries a block of any bytes, by any method, with a correct checksum, a claim about its entries, and a trailer that
// says the same. It must be read as claimed or refused, and the file and the stream must agree.
func FuzzBlock(f *testing.F) {
	for i, c := range compressions {
		data := specimen(f, c)
		file, err := openBytes(f, data)
		require.NoError(f, err)
		b := file.Blocks()[0]
		stored := data[b.Position+blockHeadSize:][:b.StoredBytes-blockHeadSize]
		f.Add(uint8(i), stored, uint32(b.RawBytes), uint32(b.Entries), b.FirstKey)
		f.Add(uint8(i), stored, uint32(1<<20), uint32(1), b.FirstKey)
		f.Add(uint8(i), stored[:5], uint32(1<<31), uint32(1), []byte(nil))
	}
	f.Add(uint8(0), []byte{1, 0, 'a', 1, 0, 'b'}, uint32(6), uint32(2), []byte("a"))
	f.Fuzz(func(t *testing.T, method uint8, stored []byte, rawSize, entries uint32, key []byte) {
		c := compressions[method%3]
		lie := honest(c)
		lie.blocks = []forgedBlock{packed(c, stored, int(rawSize), int(entries))}
		lie.blocks[0].key = key
		requireHarmless(t, lie.encode())
	})
}

// FuzzStream tries any bytes, alone and after a header, as a file and as a stream; also with the checksums corrected as far
// as the bytes go.
func FuzzStream(f *testing.F) {
	for _, c := range compressions {
		f.Add(specimen(f, c))
		f.Add(specimen(f, c)[headSize:])
		f.Add(honest(c).encode())
	}
	f.Add(encode(f, testHeader(1), Options{}, nil))
	f.Add([]byte(headMagic))
	f.Add(announcement(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		requireHarmless(t, data)
		h, err := newHead(testHeader(7), S2)
		require.NoError(t, err)
		mended := append(h.appendTo(nil), data...)
		requireHarmless(t, mended)
		mend(mended, h)
		requireHarmless(t, mended)
	})
}

// announcement returns a snapshot that ends within a block of 32 MiB.
func announcement(t testing.TB) []byte {
	h, err := newHead(testHeader(7), NoCompression)
	require.NoError(t, err)
	data := append(h.appendTo(nil), make([]byte, blockHeadSize+100)...)
	blockHead{NoCompression, 32 << 20, 32 << 20, 1, 0}.put(data[headSize:], h, headSize)
	return data
}

// mend corrects the checksums of blocks and trailer, as far as their lengths lead.
func mend(data []byte, h head) {
	position := headSize
	for position+blockHeadSize <= len(data) {
		b, err := decodeBlockFields(data[position+blockMethodAt:])
		end := int64(position) + b.size()
		if err != nil || end > int64(len(data)) {
			return
		}
		payload := data[position+blockHeadSize : end]
		if b.method == trailerMethod && len(payload) >= totalsSize {
			binary.LittleEndian.PutUint32(payload[totalSumAt:], crc32.ChecksumIEEE(data[:position]))
		}
		b.payloadSum = sumOf(payload)
		b.put(data[position:], h, int64(position))
		if b.method == trailerMethod {
			copy(data[end:], appendFooter(nil, h, int64(position)))
			return
		}
		position = int(end)
	}
}

// requireThrifty reads bytes as a file and as a stream, and keeps nothing.
func requireThrifty(t *testing.T, data []byte) {
	t.Helper()
	mem, size := vfs.NewMem(), meant(data)
	require.NoError(t, mem.WriteFile("/some.file", data))
	allocated.Within(t, size, func() {
		if f, err := Open(mem, "/some.file"); err == nil {
			for range f.Entries(2) {
			}
			_ = f.Close() // It was only read.
		}
	})
	allocated.Within(t, size, func() {
		if r, err := NewReader(bytes.NewReader(data), Options{Workers: 2}); err == nil {
			for range r.Entries() {
			}
		}
	})
}

// requireHarmless reads bytes as a file and as a stream. Both must refuse them as damaged or newer, or both must give the same
// entries; and they must keep to their memory.
func requireHarmless(t *testing.T, data []byte) {
	t.Helper()
	var fromFile, fromStream []Entry
	var fileErr, streamErr error
	requireThrifty(t, data)
	fromFile, fileErr = readFile(t, data)
	fromStream, streamErr = readStream(data)
	for _, err := range []error{fileErr, streamErr} {
		if err != nil {
			require.True(t, isRefusal(err), "%v", err)
		}
	}
	if fileErr == nil {
		require.NoError(t, streamErr, "a file that is whole is a stream that is whole")
		requireEntries(t, fromFile, fromStream)
	}
}
