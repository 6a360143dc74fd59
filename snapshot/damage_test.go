package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/internal/vfs"
)

// specimen is a small snapshot of several blocks.
func specimen(t testing.TB, c Compression) []byte {
	data := encode(t, testHeader(7), Options{Compression: c, BlockSize: 160}, compressible(9))
	f, err := openBytes(t, data)
	require.NoError(t, err)
	require.Equal(t, 3, f.Info().Blocks)
	require.Equal(t, c, f.Blocks()[0].Compression)
	return data
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	for _, c := range compressions {
		data := specimen(t, c)
		for bit := range 8 * len(data) {
			flipped := bytes.Clone(data)
			flipped[bit/8] ^= 1 << (bit % 8)
			found, err := refusal(t, flipped)
			require.ErrorIs(t, err, ErrCorrupt, "%v, bit %d, file", c, bit)
			require.NotEqual(t, byVerify, found, "%v, bit %d: reading the entries is enough", c, bit)
			_, err = readStream(flipped)
			require.ErrorIs(t, err, ErrCorrupt, "%v, bit %d, stream", c, bit)
		}
	}
}

// verifySums opens bytes as a file and compares them with their checksums alone.
func verifySums(t testing.TB, data []byte) error {
	t.Helper()
	f, err := openBytes(t, data)
	if err != nil {
		return err
	}
	return errors.Join(f.VerifySums(t.Context()), f.Close())
}

func TestChecksumsAloneShowEveryFlippedBit(t *testing.T) {
	for _, c := range compressions {
		data := specimen(t, c)
		require.NoError(t, verifySums(t, data))
		for bit := range 8 * len(data) {
			flipped := bytes.Clone(data)
			flipped[bit/8] ^= 1 << (bit % 8)
			require.ErrorIs(t, verifySums(t, flipped), ErrCorrupt, "%v, bit %d", c, bit)
		}
	}
}

func TestChecksumsAloneAreVerifiedInLittleMemory(t *testing.T) {
	large := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(large)
	path := filepath.Join(t.TempDir(), "large.snap")
	data := encode(t, testHeader(7), Options{}, []Entry{{Key: []byte("k"), Data: large}})
	data[headSize+blockHeadSize+7<<20] ^= 1 // Far beyond the first read.
	require.NoError(t, os.WriteFile(path, data, 0o600))
	f, err := Open(nil, path)
	require.NoError(t, err)
	require.Less(t, allocated.Bytes(func() { requireDamage(t, f.VerifySums(t.Context()), path, headSize) }), uint64(2*sumBytes))
	require.NoError(t, f.Close())
}

func TestEveryCutIsRefused(t *testing.T) {
	for _, c := range compressions {
		data := specimen(t, c)
		for size := range len(data) {
			_, err := openBytes(t, data[:size])
			require.ErrorIs(t, err, ErrCorrupt, "%v, %d bytes, file", c, size)
			_, err = readStream(data[:size])
			require.ErrorIs(t, err, ErrCorrupt, "%v, %d bytes, stream", c, size)
		}
	}
}

func TestDamageInABlockShowsAtTheBlock(t *testing.T) {
	data := specimen(t, S2)
	f, err := openBytes(t, data)
	require.NoError(t, err)
	blocks := f.Blocks()
	data[blocks[1].Position+blockHeadSize] ^= 1
	f, err = openBytes(t, data)
	require.NoError(t, err, "header and trailer are as they were")
	got, err := collect(f.Entries(1))
	requireDamage(t, err, "/some.file", blocks[1].Position)
	requireEntries(t, compressible(9)[:blocks[0].Entries], got)
	requireDamage(t, f.Verify(t.Context()), "/some.file", blocks[1].Position)
	requireDamage(t, f.VerifySums(t.Context()), "/some.file", blocks[1].Position)
	_, _, err = f.Get(blocks[1].FirstKey)
	requireDamage(t, err, "/some.file", blocks[1].Position)
	_, found, err := f.Get(blocks[2].FirstKey)
	require.True(t, err == nil && found, "the other blocks can be read")
	got, err = readStream(data)
	requireDamage(t, err, "", blocks[1].Position)
	requireEntries(t, compressible(9)[:blocks[0].Entries], got)
}

func requireDamage(t testing.TB, err error, path string, position int64) {
	t.Helper()
	var damage *CorruptError
	require.ErrorAs(t, err, &damage)
	require.Equal(t, path, damage.Path)
	require.Equal(t, position, damage.Position, "%v", err)
}

func TestAFileThatIsNotTheOneIsRefused(t *testing.T) {
	data := specimen(t, NoCompression)
	f, err := openBytes(t, data)
	require.NoError(t, err)
	blocks := f.Blocks()
	part := func(i int) []byte { return data[blocks[i].Position:][:blocks[i].StoredBytes] }
	require.Len(t, part(1), len(part(0)), "two blocks that could be taken for one another")
	newer := bytes.Clone(data)
	newer[headVersionAt]++
	binary.LittleEndian.PutUint32(newer[headSumAt:], sumOf(newer[:headSumAt]))
	other := encode(t, testHeader(8), Options{Compression: NoCompression, BlockSize: 160}, compressible(9))

	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"a file of a newer version":       {newer, ErrVersion},
		"an empty file":                   {nil, ErrNotSnapshot},
		"a file of another program":       {[]byte("PK\x03\x04, and so on, and so on, and so on, and so on, and so on"), ErrNotSnapshot},
		"zeros":                           {make([]byte, len(data)), ErrNotSnapshot},
		"two blocks of one size swapped":  {bytes.Replace(data, append(bytes.Clone(part(0)), part(1)...), append(bytes.Clone(part(1)), part(0)...), 1), ErrCorrupt},
		"a block of another snapshot":     {bytes.Replace(data, part(0), other[blocks[0].Position:][:blocks[0].StoredBytes], 1), ErrCorrupt},
		"the end of another snapshot":     {append(bytes.Clone(data[:blocks[2].Position]), other[blocks[2].Position:]...), ErrCorrupt},
		"a header of another snapshot":    {append(bytes.Clone(other[:headSize]), data[headSize:]...), ErrCorrupt},
		"bytes missing in the middle":     {append(bytes.Clone(data[:headSize]), data[blocks[1].Position:]...), ErrCorrupt},
		"bytes too many in the middle":    {append(bytes.Clone(data[:blocks[1].Position]), data[blocks[0].Position:]...), ErrCorrupt},
		"a footer right after the header": {append(bytes.Clone(data[:headSize]), data[len(data)-footerSize:]...), ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			require.False(t, bytes.Equal(data, c.data), "the case changes nothing")
			_, err := readFile(t, c.data)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.want != ErrVersion, errors.Is(err, ErrCorrupt), "a newer version is no damage")
			_, err = readStream(c.data)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.want != ErrVersion, errors.Is(err, ErrCorrupt), "a newer version is no damage")
		})
	}
}

func TestAStreamReportsAMissingBlockBeforeItYieldsTheNext(t *testing.T) {
	data := specimen(t, S2)
	f, err := openBytes(t, data)
	require.NoError(t, err)
	got, err := readStream(append(bytes.Clone(data[:headSize]), data[f.Blocks()[1].Position:]...))
	requireDamage(t, err, "", headSize)
	require.Empty(t, got)
}

func TestAFileWithMoreBytesIsRefusedAndAStreamStopsAtItsEnd(t *testing.T) {
	data := append(specimen(t, S2), "more"...)
	_, err := openBytes(t, data)
	require.ErrorIs(t, err, ErrCorrupt)
	stream := bytes.NewReader(data)
	r, err := NewReader(stream, Options{})
	require.NoError(t, err)
	_, err = collect(r.Entries())
	require.NoError(t, err)
	rest, err := io.ReadAll(stream)
	require.NoError(t, err)
	require.Equal(t, "more", string(rest))
}

func TestAFileUnderTheNameOfAnotherOffsetIsRefused(t *testing.T) {
	mem := vfs.NewMem()
	require.NoError(t, mem.WriteFile(Path(testDir, 8), specimen(t, S2)))
	_, err := Open(mem, Path(testDir, 8))
	requireDamage(t, err, Path(testDir, 8), 0)
	require.ErrorContains(t, err, "offset 7, the name says 8")
}

func TestAFailedReadIsNoDamage(t *testing.T) {
	broken := errors.New("input/output error")
	mem := vfs.NewMem()
	require.NoError(t, mem.WriteFile("/some.file", specimen(t, S2)))
	for n := 1; ; n++ {
		mem.SetHook(vfs.FailNth(vfs.OpRead, n, broken))
		f, err := Open(mem, "/some.file")
		if err == nil {
			_, err = collect(f.Entries(1))
		}
		if err == nil {
			err = f.VerifySums(t.Context())
		}
		if err == nil {
			require.Greater(t, n, 10)
			break
		}
		require.ErrorIs(t, err, broken)
		require.NotErrorIs(t, err, ErrCorrupt)
	}
	data := specimen(t, S2)
	for size := range len(data) {
		r, err := NewReader(io.MultiReader(bytes.NewReader(data[:size]), iotest.ErrReader(broken)), Options{})
		if err == nil {
			_, err = collect(r.Entries())
		}
		require.ErrorIs(t, err, broken)
		require.NotErrorIs(t, err, ErrCorrupt)
	}
}

func TestAStreamIsReadOnce(t *testing.T) {
	r, err := NewReader(bytes.NewReader(specimen(t, S2)), Options{})
	require.NoError(t, err)
	_, err = collect(r.Entries())
	require.NoError(t, err)
	_, err = collect(r.Entries())
	require.ErrorIs(t, err, ErrClosed)
}

func TestAStreamMayComeByteByByte(t *testing.T) {
	r, err := NewReader(iotest.OneByteReader(bytes.NewReader(specimen(t, Zstd))), Options{})
	require.NoError(t, err)
	got, err := collect(r.Entries())
	require.NoError(t, err)
	requireEntries(t, compressible(9), got)
	require.EqualValues(t, 9, r.Info().Entries)
}

func TestErrorsSayWhere(t *testing.T) {
	err := error(&CorruptError{Path: "/db/x.snap", Position: 9, Err: errCut})
	require.EqualError(t, err, "snapshot: damaged: /db/x.snap at position 9: the bytes end too soon: unexpected EOF")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, &CorruptError{Err: errCut}, "stream at position 0")
	require.Equal(t, "Compression(9)", fmt.Sprint(Compression(9)))
}
