package snapshot

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
)

func sumOf(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// forgery is a snapshot with correct checksums and false fields.
type forgery struct {
	head    head
	blocks  []forgedBlock
	trailer func(*trailer)   // Changes what the trailer says.
	encoded func([]byte)     // Changes the encoded trailer.
	ending  func(*blockHead) // Changes the trailer's head.
	footer  func(int64) int64
}

// forgedBlock is a block; its row in the trailer says the same, except for the key if one is given.
type forgedBlock struct {
	blockHead
	payload []byte
	key     []byte
}

// honest returns a forgery without a false field: three blocks of three entries each.
func honest(compression Compression) *forgery {
	h, _ := newHead(testHeader(7), compression)
	f := &forgery{head: h}
	entries := compressible(9)
	for ; len(entries) > 0; entries = entries[3:] {
		f.blocks = append(f.blocks, forge(entries[:3]...))
	}
	return f
}

// forge makes a block of entries, as they come.
func forge(entries ...Entry) forgedBlock {
	var payload []byte
	for _, e := range entries {
		payload = appendEntry(payload, e.Key, e.Data)
	}
	size := uint32(len(payload))
	return forgedBlock{blockHead{NoCompression, size, size, uint32(len(entries)), 0}, payload, entries[0].Key}
}

// packed returns a block with these stored bytes.
func packed(c Compression, stored []byte, rawSize, entries int) forgedBlock {
	return forgedBlock{blockHead{c, uint32(len(stored)), uint32(rawSize), uint32(entries), 0}, stored, []byte("a")}
}

func (f *forgery) encode() []byte {
	data := f.head.appendTo(nil)
	t := trailer{}
	for _, b := range f.blocks {
		b.payloadSum = sumOf(b.payload)
		position := int64(len(data))
		data = append(data, make([]byte, blockHeadSize)...)
		b.put(data[position:], f.head, position)
		data = append(data, b.payload...)
		t.rows = append(t.rows, row{blockHead: b.blockHead, firstKey: b.key})
		t.entries += uint64(b.entryCount)
		for raw := b.payload; b.method == NoCompression && len(raw) > 0; {
			e, rest, err := cutEntry(raw)
			if err != nil {
				break
			}
			t.keySize, t.dataSize, raw = t.keySize+int64(len(e.Key)), t.dataSize+int64(len(e.Data)), rest
		}
		if b.method != NoCompression {
			t.keySize, t.dataSize = 1, int64(b.rawSize)-1-entryHeadMin*int64(b.entryCount)
		}
	}
	t.sum = crc32.ChecksumIEEE(data)
	return f.end(data, t)
}

// end appends trailer and footer.
func (f *forgery) end(data []byte, t trailer) []byte {
	if f.trailer != nil {
		f.trailer(&t)
	}
	position := int64(len(data))
	encoded := t.appendTo(nil, f.head)
	if f.encoded != nil {
		f.encoded(encoded)
	}
	ending := t.head(encoded)
	if f.ending != nil {
		f.ending(&ending)
	}
	data = append(data, make([]byte, blockHeadSize)...)
	ending.put(data[position:], f.head, position)
	data = append(data, encoded...)
	if f.footer != nil {
		position = f.footer(position)
	}
	return appendFooter(data, f.head, position)
}

func TestAnHonestForgeryIsRead(t *testing.T) {
	got, err := readFile(t, honest(S2).encode())
	require.NoError(t, err)
	requireEntries(t, compressible(9), got)
	got, err = readStream(honest(S2).encode())
	require.NoError(t, err)
	requireEntries(t, compressible(9), got)
}

// atFirst returns a lie that changes the first block.
func atFirst(change func(b *forgedBlock)) func(*forgery) {
	return func(f *forgery) { change(&f.blocks[0]) }
}

// instead returns a lie that leaves one block and nothing else.
func instead(b forgedBlock) func(*forgery) {
	return func(f *forgery) { f.blocks = []forgedBlock{b} }
}

func zstdOf(t *testing.T, raw []byte) []byte {
	encoder, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return encoder.EncodeAll(raw, nil)
}

// TestALieWithRightChecksumsIsRefused tries false fields with correct checksums, which an attacker can compute. Reading a file
// and reading a stream must both refuse them, without taking much memory.
func TestALieWithRightChecksumsIsRefused(t *testing.T) {
	key := func(k string) Entry { return Entry{Key: []byte(k)} }
	gigabyte := binary.AppendUvarint(nil, 1<<30)
	frameOfNothing := zstdOf(t, nil)
	for name, c := range map[string]struct {
		compression Compression
		found       string // The check that refuses the file.
		lie         func(*forgery)
	}{
		"a block's head counts an entry more":           {S2, byOpen, atFirst(func(b *forgedBlock) { b.entryCount++ })},
		"a block's head counts an entry less":           {S2, byEntries, atFirst(func(b *forgedBlock) { b.entryCount-- })},
		"a block's head counts the most that could be":  {S2, byOpen, atFirst(func(b *forgedBlock) { b.entryCount = b.rawSize / 2 })},
		"a block's head counts more than could be":      {S2, byOpen, atFirst(func(b *forgedBlock) { b.entryCount = 1 << 31 })},
		"a block without entries":                       {S2, byOpen, atFirst(func(b *forgedBlock) { *b = forgedBlock{blockHead: blockHead{method: NoCompression}} })},
		"a block that doesn't count its entries":        {S2, byOpen, atFirst(func(b *forgedBlock) { b.entryCount = 0 })},
		"a block that is longer than it says":           {S2, byOpen, atFirst(func(b *forgedBlock) { b.payload = append(b.payload, 0) })},
		"a block that says it is the rest of all":       {S2, byOpen, atFirst(func(b *forgedBlock) { b.storedSize, b.rawSize = 1<<20, 1<<20 })},
		"a block of the largest entry that isn't there": {S2, byOpen, atFirst(func(b *forgedBlock) { b.storedSize, b.rawSize, b.entryCount = MaxDataSize, MaxDataSize, 1 })},
		"a block over the limit with two entries":       {S2, byOpen, instead(forge(Entry{[]byte("a"), make([]byte, MaxBlockSize)}, key("b")))},
		"a block of four gigabytes":                     {S2, byOpen, atFirst(func(b *forgedBlock) { b.storedSize, b.rawSize, b.entryCount = 1<<32-1, 1<<32-1, 1 })},
		"a block by a method that doesn't exist":        {S2, byOpen, atFirst(func(b *forgedBlock) { b.method = 77 })},
		"a block by no method":                          {S2, byOpen, atFirst(func(b *forgedBlock) { b.method = 0 })},
		"a block by another method than the header's":   {S2, byOpen, atFirst(func(b *forgedBlock) { b.method, b.rawSize = Zstd, b.rawSize+1 })},
		"a block that is larger than before":            {NoCompression, byOpen, atFirst(func(b *forgedBlock) { b.rawSize-- })},
		"an entry that reaches past its block":          {S2, byEntries, instead(forgedBlock{blockHead{NoCompression, 4, 4, 1, 0}, []byte{1, 9, 'a', 'b'}, []byte("a")})},
		"an entry with an endless length":               {S2, byEntries, instead(forgedBlock{blockHead{NoCompression, 4, 4, 1, 0}, []byte{0xff, 0xff, 0xff, 0xff}, []byte("a")})},
		"an entry with a key over the limit":            {S2, byOpen, instead(forge(Entry{Key: make([]byte, MaxKeySize+1)}))},
		"entries that are out of order":                 {S2, byEntries, instead(forge(key("a"), key("c"), key("b")))},
		"a key that comes twice":                        {S2, byEntries, instead(forge(key("a"), key("a")))},
		"blocks that are out of order":                  {S2, byOpen, func(f *forgery) { f.blocks[0], f.blocks[1] = f.blocks[1], f.blocks[0] }},
		"blocks that overlap":                           {S2, byEntries, func(f *forgery) { f.blocks = []forgedBlock{forge(key("a"), key("c")), forge(key("b"))} }},
		"a block that comes twice":                      {S2, byOpen, func(f *forgery) { f.blocks[1] = f.blocks[0] }},
		"a row with another key":                        {S2, byEntries, atFirst(func(b *forgedBlock) { b.key = []byte("a") })},
		"a row with another key in order":               {S2, byEntries, func(f *forgery) { f.blocks[1].key = []byte("key000002z") }},
		"the trailer counts an entry more":              {S2, byOpen, func(f *forgery) { f.trailer = func(t *trailer) { t.entries++ } }},
		"the trailer counts a byte of keys more":        {S2, byOpen, func(f *forgery) { f.trailer = func(t *trailer) { t.keySize++ } }},
		"the trailer moves bytes from keys to data":     {S2, byVerify, func(f *forgery) { f.trailer = func(t *trailer) { t.keySize--; t.dataSize++ } }},
		"the trailer counts fewer than no bytes":        {S2, byOpen, func(f *forgery) { f.trailer = func(t *trailer) { t.keySize += t.dataSize + 1; t.dataSize = -1 } }},
		"the trailer counts more bytes than there are": {S2, byOpen, func(f *forgery) {
			f.trailer = func(t *trailer) { t.keySize, t.dataSize = 1<<62, 1<<62 }
		}},
		"the trailer has another sum of the whole": {S2, byVerify, func(f *forgery) { f.trailer = func(t *trailer) { t.sum++ } }},
		"the trailer leaves out the last block":    {S2, byOpen, func(f *forgery) { f.trailer = func(t *trailer) { t.rows = t.rows[:2]; t.entries = 6 } }},
		"the trailer lists no block":               {S2, byOpen, func(f *forgery) { f.trailer = func(t *trailer) { *t = trailer{sum: t.sum} } }},
		"the trailer lists a block twice":          {S2, byOpen, func(f *forgery) { f.trailer = func(t *trailer) { t.rows[1] = t.rows[0] } }},
		"the trailer's head counts a block more":   {S2, byOpen, func(f *forgery) { f.ending = func(b *blockHead) { b.entryCount++ } }},
		"the trailer's head says it is longer":     {S2, byOpen, func(f *forgery) { f.ending = func(b *blockHead) { b.storedSize++; b.rawSize++ } }},
		"the trailer's head says four gigabytes":   {S2, byOpen, func(f *forgery) { f.ending = func(b *blockHead) { b.storedSize, b.rawSize = 1<<32-1, 1<<32-1 } }},
		"the trailer's head is a block's":          {S2, byOpen, func(f *forgery) { f.ending = func(b *blockHead) { b.method = NoCompression } }},
		"a row's key reaches past the trailer": {S2, byOpen, func(f *forgery) {
			f.encoded = func(b []byte) { binary.LittleEndian.PutUint32(b[totalsSize+rowHeadSize-4:], 1<<16) }
		}},
		"the footer leads to a block":       {S2, byOpen, func(f *forgery) { f.footer = func(int64) int64 { return headSize } }},
		"the footer leads into nothing":     {S2, byOpen, func(f *forgery) { f.footer = func(int64) int64 { return -1 } }},
		"the footer leads past the end":     {S2, byOpen, func(f *forgery) { f.footer = func(int64) int64 { return 1 << 62 } }},
		"a header from after its offset":    {S2, byOpen, func(f *forgery) { f.head.From = 8; f.head.sum = sumOf(f.head.appendTo(nil)[:headSumAt]) }},
		"an S2 block that isn't":            {S2, byEntries, instead(packed(S2, []byte{50, 1, 2, 3}, 50, 1))},
		"an S2 block of another size":       {S2, byEntries, instead(packed(S2, s2.Encode(nil, make([]byte, 5000)), 4000, 1))},
		"an S2 bomb in its own header":      {S2, byEntries, instead(packed(S2, append(gigabyte, 0, 0, 0), 4000, 1))},
		"an S2 bomb in the block's head":    {S2, byOpen, instead(packed(S2, append(gigabyte, 0, 0, 0), 1<<30, 1))},
		"an S2 bomb of the largest entry":   {S2, byOpen, instead(packed(S2, s2.Encode(nil, make([]byte, MaxDataSize)), MaxDataSize, 1))},
		"an S2 bomb that says it is small":  {S2, byEntries, instead(packed(S2, s2.Encode(nil, make([]byte, MaxDataSize)), 1<<20, 1))},
		"a zstd block that isn't":           {Zstd, byEntries, instead(packed(Zstd, []byte{50, 1, 2, 3}, 50, 1))},
		"a zstd block with nothing in it":   {Zstd, byEntries, instead(packed(Zstd, frameOfNothing, len(frameOfNothing)+50, 1))},
		"a zstd block of another size":      {Zstd, byEntries, instead(packed(Zstd, zstdOf(t, make([]byte, 5000)), 6000, 1))},
		"a zstd bomb of the largest entry":  {Zstd, byOpen, instead(packed(Zstd, zstdOf(t, make([]byte, MaxDataSize)), MaxDataSize, 1))},
		"a zstd bomb that says it is small": {Zstd, byEntries, instead(packed(Zstd, zstdOf(t, make([]byte, MaxDataSize)), 1<<20, 1))},
		"a zstd bomb of many frames": {
			Zstd, byEntries, instead(packed(Zstd, bytes.Repeat(zstdOf(t, make([]byte, 1<<20)), 60), 1<<20, 1)),
		},
		"a zstd frame that asks for a window of gigabytes": {
			Zstd, byEntries, instead(packed(Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 1, 0, 0}, 100, 1)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := honest(c.compression)
			c.lie(f)
			data := f.encode()
			var fromFile, fromStream error
			var found string
			took := allocated.Bytes(func() {
				found, fromFile = refusal(t, data)
				_, fromStream = readStream(data)
			})
			require.Equal(t, c.found, found, "%v", fromFile)
			require.ErrorIs(t, fromFile, ErrCorrupt)
			require.ErrorIs(t, fromStream, ErrCorrupt)
			require.Less(t, took, uint64(12<<20), "for %d bytes: %v", len(data), fromFile)
		})
	}
}

// The checks that may refuse a file, the earliest first.
const (
	byOpen    = "by Open"
	byEntries = "by Entries"
	byVerify  = "by Verify"
)

// refusal returns the first check that refuses bytes as a file, and its error.
func refusal(t *testing.T, data []byte) (by string, err error) {
	f, err := openBytes(t, data)
	if err != nil {
		return byOpen, err
	}
	if _, err := collect(f.Entries(2)); err != nil {
		require.ErrorIs(t, f.Verify(t.Context()), ErrCorrupt)
		return byEntries, err
	}
	return byVerify, f.Verify(t.Context())
}

// TestATrailerOverTheLimitIsNotRead has a file with a hole, which takes no space on the disk and says that the hole is its trailer.
// Memory for all of it would end the process.
func TestATrailerOverTheLimitIsNotRead(t *testing.T) {
	const size = 4 << 40
	h := honest(S2).head
	path := filepath.Join(t.TempDir(), "sparse")
	require.NoError(t, os.WriteFile(path, h.appendTo(nil), 0o600))
	if err := os.Truncate(path, size); err != nil {
		t.Skipf("making a file with a hole: %v", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = file.WriteAt(appendFooter(nil, h, headSize), size-footerSize)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.Less(t, allocated.Bytes(func() { _, err = Open(nil, path) }), uint64(1<<20))
	require.ErrorIs(t, err, ErrCorrupt)
}
