package allocated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

var sink []byte

func TestBytesCountsWhatIsFreedAgain(t *testing.T) {
	took := Bytes(func() {
		for range 10 {
			sink = make([]byte, 1<<20)
		}
	})
	require.GreaterOrEqual(t, took, uint64(10<<20))
}

// failures is a test that counts how often it was failed.
type failures struct {
	testing.TB
	count int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.count++ }

func TestWithinFailsATestThatTakesMoreEachTime(t *testing.T) {
	for _, c := range []struct {
		sentence   string
		read, took int
		noisy      int // How many calls take more than that, as if other goroutines did.
		want       int
	}{
		{"a mebibyte is free", 0, 1 << 19, 0, 0},
		{"two aren't", 0, 2 << 20, 0, 1},
		{"unless what is read accounts for them", 1 << 18, 2<<20 - 1<<16, 0, 0},
		{"others may allocate, too", 0, 1 << 19, tries - 1, 0},
		{"but not in each call", 0, 1 << 19, tries, 1},
	} {
		f, calls := &failures{TB: t}, 0
		Within(f, c.read, func() {
			if calls++; calls <= c.noisy {
				sink = make([]byte, 4<<20)
			}
			sink = make([]byte, c.took)
		})
		require.Equal(t, c.want, f.count, c.sentence)
	}
}

func TestWhatIsReadOfAFileCountsAndWhatIsAskedForDoesNot(t *testing.T) {
	const size = 1 << 20
	mem := vfs.NewMem()
	require.NoError(t, mem.WriteFile("/file", make([]byte, size)))
	for _, c := range []struct {
		sentence   string
		reads, ask int
		want       int
	}{
		{"a file may be read several times, each time into new memory", 8, size, 0},
		{"but not into memory for more than it has", 1, 6 * size, 1},
	} {
		f := &failures{TB: t}
		WithinFiles(f, mem, 0, func(mem *vfs.Mem) {
			file, err := mem.Open("/file")
			require.NoError(t, err)
			for range c.reads {
				sink = make([]byte, c.ask)
				_, _ = file.ReadAt(sink, 0)
			}
			require.NoError(t, file.Close())
		})
		require.Equal(t, c.want, f.count, c.sentence)
	}
}
