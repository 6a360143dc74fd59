package allocated

import (
	"sync"
	"testing"

	"github.com/walnutkv/walnut/internal/vfs"
)

// WithinFiles is Within for a call that works on files: all that it reads of them and writes counts, as often as it does that, and
// so does more. Each call gets another copy of the disk.
func WithinFiles(t testing.TB, mem *vfs.Mem, more int, call func(mem *vfs.Mem)) {
	t.Helper()
	twin := mem.Clone()
	moved := moved(t, twin, func() { call(twin) })
	Within(t, moved+more, func() { call(mem.Clone()) })
}

// moved returns how many bytes of files a call reads and writes. What it asks for past the end of a file isn't read.
func moved(t testing.TB, mem *vfs.Mem, call func()) (bytes int) {
	t.Helper()
	sizes := map[string]int64{}
	for _, name := range mem.Names() {
		data, err := mem.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sizes[name] = int64(len(data))
	}
	var mu sync.Mutex
	mem.SetHook(func(c vfs.Call) error {
		mu.Lock()
		defer mu.Unlock()
		switch c.Op {
		case vfs.OpRead:
			bytes += int(max(0, min(c.Len, sizes[c.Name]-c.Off)))
		case vfs.OpWrite:
			sizes[c.Name] = max(sizes[c.Name], c.Off+c.Len)
			bytes += int(c.Len)
		}
		return nil
	})
	defer mem.SetHook(nil)
	call()
	return bytes
}
