package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Compression says how the entries of a block are stored. The numbers are in files and never change their meaning.
type Compression uint8

const (
	// DefaultCompression is S2. It is never stored.
	DefaultCompression Compression = iota
	// NoCompression stores entries as they are.
	NoCompression
	// S2 takes next to no time, and makes text about half as large.
	S2
	// Zstd makes text smaller than S2 does, and takes several times as long. It suits backups that cross a network.
	Zstd
)

// trailerMethod takes the place of a Compression in the trailer's head, and says that the blocks have ended.
const trailerMethod Compression = 255

// String returns the name: default, none, s2 or zstd.
func (c Compression) String() string {
	switch c {
	case DefaultCompression:
		return "default"
	case NoCompression:
		return "none"
	case S2:
		return "s2"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("Compression(%d)", uint8(c))
}

// ParseCompression is the inverse of Compression.String.
func ParseCompression(name string) (Compression, error) {
	for _, c := range []Compression{DefaultCompression, NoCompression, S2, Zstd} {
		if c.String() == name {
			return c, nil
		}
	}
	return 0, fmt.Errorf("compression %q: want default, none, s2 or zstd", name)
}

// zstdEncoder and zstdDecoder are shared by all snapshots. Each works on several blocks at a time and keeps its memory.
var (
	zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
			zstd.WithWindowSize(MaxBlockSize))
	})
	zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
			zstd.WithDecoderMaxMemory(rawSizeMax))
	})
)

// pack appends the compressed form of raw to dst.
func (c Compression) pack(dst, raw []byte) ([]byte, error) {
	if c == S2 {
		dst = slices.Grow(dst, s2.MaxEncodedLen(len(raw)))
		packed := s2.Encode(dst[len(dst):cap(dst)], raw)
		return dst[:len(dst)+len(packed)], nil
	}
	encoder, err := zstdEncoder()
	if err != nil {
		return nil, err
	}
	return encoder.EncodeAll(raw, dst), nil
}

var errRawSize = errors.New("block decompresses to a size other than its head says")

// unpack decompresses into dst, whose size must be that of the result. It allocates nothing for a larger size that the
// stored bytes may claim.
func (c Compression) unpack(dst, stored []byte) error {
	if c == S2 {
		if size, err := s2.DecodedLen(stored); err != nil || size != len(dst) {
			return errors.Join(errRawSize, err)
		}
		_, err := s2.Decode(dst, stored)
		return err
	}
	decoder, err := zstdDecoder()
	if err != nil {
		return err
	}
	raw, err := decoder.DecodeAll(stored, dst[:0:len(dst)])
	if err == nil && len(raw) != len(dst) {
		err = errRawSize
	}
	return err
}
