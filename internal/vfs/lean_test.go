package vfs

import (
	"bytes"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestALeanFileIsASliceOfBytes compares a file with a slice, with lengths around those of chunks.
func TestALeanFileIsASliceOfBytes(t *testing.T) {
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 0))
		f := create(t, NewLean(), "a", "")
		var want []byte
		position := func() int64 { return int64(dice.IntN(4))*leanChunk + int64(dice.IntN(5)) }
		grow := func(size int64) { want = append(want, make([]byte, max(0, size-int64(len(want))))...) }
		for range 200 {
			at := position()
			switch dice.IntN(4) {
			case 0:
				require.NoError(t, f.Truncate(at))
				grow(at)
				want = want[:at]
			case 1:
				require.NoError(t, f.Allocate(at))
				grow(at)
			default:
				data := bytes.Repeat([]byte{byte(1 + dice.IntN(255))}, dice.IntN(leanChunk+2))
				write(t, f, at, string(data))
				if len(data) > 0 {
					grow(at + int64(len(data)))
					copy(want[at:], data)
				}
			}
			require.Equal(t, string(want), read(t, f), "seed %d", seed)
			from, buffer := position(), make([]byte, dice.IntN(2*leanChunk))
			n, err := f.ReadAt(buffer, from)
			require.Equal(t, string(want[min(from, int64(len(want))):min(from+int64(len(buffer)), int64(len(want)))]), string(buffer[:n]))
			if n < len(buffer) {
				require.ErrorIs(t, err, io.EOF)
			}
		}
	}
}

func TestALeanFileTakesMemoryForWhatWasWrittenOnly(t *testing.T) {
	lean := NewLean()
	f := create(t, lean, "a", "x")
	require.NoError(t, f.Allocate(1<<30))
	held := 0
	for _, chunk := range lean.nodes["/a"].file.chunks {
		if chunk != nil {
			held++
		}
	}
	require.Equal(t, 1, held)
	require.ErrorIs(t, f.Allocate(leanSizeMax+1), syscall.EFBIG)
	_, err := f.WriteAt([]byte("x"), leanSizeMax)
	require.ErrorIs(t, err, syscall.EFBIG)
}

func TestALeanFileRefusesToBeMappedAndChangesWhereItIsOpenForReading(t *testing.T) {
	lean := NewLean()
	f := create(t, lean, "a", "hello")
	for _, mapIt := range []func(size int64) (Mapping, error){f.Map, f.MapRead} {
		_, err := mapIt(5)
		require.ErrorIs(t, err, ErrMapUnsupported)
		requirePath(t, err, "a")
	}
	reading, err := lean.OpenRead("a")
	require.NoError(t, err)
	_, err = reading.WriteAt([]byte("x"), 0)
	require.ErrorIs(t, err, syscall.EBADF)
	require.Error(t, reading.Truncate(1))
	require.Error(t, reading.Allocate(10))
	require.Equal(t, "hello", read(t, reading))
}
