package snapshot

import (
	"fmt"
	"runtime"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Defaults and limits, in bytes.
const (
	// DefaultBlockSize is large enough for a block to compress well, and small enough for it to be read for one key.
	DefaultBlockSize = 128 << 10
	// MaxBlockSize is the largest Options.BlockSize. A larger block holds a single entry.
	MaxBlockSize = 1 << 20
	// MaxKeySize is the size of the longest key. The trailer repeats a key of each block, so keys are limited more than data.
	MaxKeySize = 64 << 10
	// MaxDataSize is the size of the most data that an entry may have.
	MaxDataSize = 64 << 20
)

// workersMax bounds the default of Options.Workers, since each worker has a block or two in memory.
const workersMax = 8

// Options say how to write or read a snapshot. The zero value suits most uses.
type Options struct {
	// Compression says how blocks are written. A block that it doesn't make smaller is written as it is. The default is S2.
	// Readers ignore it.
	Compression Compression
	// BlockSize is the size of a block's entries before compression, in bytes. A larger entry gets its own block. The
	// default is DefaultBlockSize. Readers ignore it.
	BlockSize int
	// Workers is the number of blocks that are compressed or decompressed at the same time, beside the goroutine that adds
	// or uses the entries. The default is the number of processors that the process may use, up to 8.
	Workers int
	// Replace lets Write replace a snapshot as of the same offset, such as a damaged one. Everything else ignores it.
	Replace bool
	// StateSum points to a checksum of the state that the entries make, which means nothing to this package. It is stored in the
	// trailer, and so is looked at when everything else is written. Readers ignore it: Info.StateSum has what is stored.
	StateSum *uint64
}

// withDefaults returns the options with every zero field set, or an error naming a field out of range.
func (o Options) withDefaults() (Options, error) {
	if o.Compression == DefaultCompression {
		o.Compression = S2
	}
	if o.BlockSize == 0 {
		o.BlockSize = DefaultBlockSize
	}
	if o.Workers == 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), workersMax)
	}
	switch {
	case o.Compression > Zstd:
		return o, fmt.Errorf("snapshot: option Compression: %v is unknown", o.Compression)
	case o.BlockSize < 0 || o.BlockSize > MaxBlockSize:
		return o, fmt.Errorf("snapshot: option BlockSize: %d is not in 0 to %d", o.BlockSize, MaxBlockSize)
	case o.Workers < 0:
		return o, fmt.Errorf("snapshot: option Workers: %d is negative", o.Workers)
	}
	return o, nil
}

// orOS returns the operating system's file system for nil.
func orOS(fsys vfs.FS) vfs.FS {
	if fsys == nil {
		return vfs.OS
	}
	return fsys
}
