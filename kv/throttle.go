package kv

import (
	"iter"
	"runtime"
	"time"
)

// A checkpoint or a backup reads and packs the whole store, and on few processors a commit that comes back from the disk
// would wait until that is done or interrupted. So it rests between pieces of its work, in proportion to how long they took,
// as long as commits keep coming. BenchmarkPutBesideCheckpoint, with a million pairs and 16 writers that sync, had a p99 of
// 2.7 to 3.4 times the one without a checkpoint with pieces of 128 KiB, and 1.7 to 1.8 times with these.
//
// In the relaxed modes no commit comes back from the disk: it takes its turn with the others on the processors. There a rest would
// take a millisecond or more, however short it should be, since Go's timers are late while a writer keeps a processor busy. So the
// work only yields, as the writers do while it waits.
//
// No commits may also mean that a goroutine that is about to commit has no processor, so the work yields at least. Once the log
// is too long, it yields after larger pieces: each time all writers take their turns and make the log longer.
const (
	restBytes      = 16 << 10 // Of entries, between two rests.
	hurryBytes     = 8 * restBytes
	checkpointRest = 3 // Rests this many times as long as it worked.
	backupRest     = 1
)

// throttle slows work in the background down in favour of commits. It belongs to one goroutine; nil doesn't slow anything.
type throttle struct {
	db     *DB
	rest   time.Duration
	left   int           // Bytes until the next rest.
	seen   uint64        // The last visible commit at the last rest.
	since  time.Time     // When the last rest ended.
	waited time.Duration // How much of the time since then was spent waiting for a peer, which is no work.
}

func (db *DB) throttle(rest time.Duration) *throttle {
	return &throttle{db: db, rest: rest, left: restBytes, seen: db.Offset(), since: time.Now()}
}

// entries yields entries and rests between them.
func (t *throttle) entries(all iter.Seq2[[]byte, []byte]) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, data []byte) bool) {
		for key, data := range all {
			if !yield(key, data) {
				return
			}
			t.worked(len(key) + len(data))
		}
	}
}

// worked counts bytes, and rests if it is time to.
func (t *throttle) worked(bytes int) {
	if t == nil {
		return
	}
	if t.left -= bytes; t.left > 0 {
		return
	}
	t.left = restBytes
	switch offset := t.db.Offset(); {
	case t.db.checkpoints.late():
		t.left = hurryBytes
		t.yield()
	case offset != t.seen && !t.db.relaxed():
		t.seen = offset
		time.Sleep(t.rest * (time.Since(t.since) - t.waited))
	default:
		t.yield()
	}
	t.since, t.waited = time.Now(), 0
}

// yield lets other goroutines run, and lets relaxed writers yield soon.
func (t *throttle) yield() {
	t.db.waiting.Add(1)
	runtime.Gosched()
	t.db.waiting.Add(-1)
}
