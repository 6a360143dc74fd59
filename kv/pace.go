package kv

import (
	"iter"
	"runtime"
	"time"
)

// A checkpoint or a backup reads and packs the whole store, and on few processors a commit that comes back from the disk
// would wait for its turn until that is over or interrupted. So between pieces of its work it rests, in proportion to how
// long they took, as long as commits keep coming. BenchmarkPutBesideCheckpoint, with a million pairs and 16 writers who sync,
// had a p99 of 2.7 to 3.4 times the one without a checkpoint with pieces of 128 KiB, and 1.7 to 1.8 times with these.
//
// No commits may also mean that the one goroutine which commits, or is about to, has no processor: it would not get one for
// tens of milliseconds, since what is started by those who run comes before what was taken off. So it gives way at least. Where
// the log has grown too long it does so after larger pieces: each time all writers have their turns, who make the log longer.
const (
	restBytes      = 16 << 10 // Of entries, between two rests.
	hurryBytes     = 8 * restBytes
	checkpointRest = 3 // Rests for so many times as long as it worked.
	backupRest     = 1
)

// resting yields the entries, and rests between them while commits go on.
func (db *DB) resting(entries iter.Seq2[[]byte, []byte], rest time.Duration) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, data []byte) bool) {
		seen, since, left := db.visible.offset.Load(), time.Now(), restBytes
		for key, data := range entries {
			if !yield(key, data) {
				return
			}
			if left -= len(key) + len(data); left > 0 {
				continue
			}
			left = restBytes
			switch offset := db.visible.offset.Load(); {
			case db.checkpoints.late():
				left = hurryBytes
				runtime.Gosched()
			case offset != seen:
				seen = offset
				time.Sleep(rest * time.Since(since))
			default:
				runtime.Gosched()
			}
			since = time.Now()
		}
	}
}
