// Package allocated measures what a call allocates. Tests show with it that bytes from a disk or a network make a decoder take
// no more memory than they can account for.
package allocated

import (
	"runtime"
	"testing"
)

// Bytes returns how many bytes a call allocates, those that it frees again included, and those of other goroutines meanwhile.
func Bytes(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// tries is how often a call is measured that seems to allocate too much.
const tries = 5

// Within fails a test in which a call allocates more than four times the bytes that it reads, and a mebibyte. What compressed bytes
// expand to, and the memory of what the call returns, count as read: no decoder can take less.
//
// The call must do the same each time. Other goroutines only ever add to what is measured, so a call that seems to allocate too
// much is measured again, and the least counts.
func Within(t testing.TB, read int, call func()) {
	t.Helper()
	limit, least := 4*uint64(read)+1<<20, Bytes(call)
	for try := 1; least > limit && try < tries; try++ {
		least = min(least, Bytes(call))
	}
	if least > limit {
		t.Errorf("%d bytes are allocated to read %d, the limit is %d", least, read, limit)
	}
}
