// Package wal is a write-ahead log: opaque records in order, each with an offset, in a directory. A record that was
// acknowledged is there after the process was killed and, in the default mode, after a power cut. Offsets start at 1 and
// go up by one.
//
//	Log                      one directory
//	 ├─ segment 1 … 41       sealed: never written to again
//	 │   ├─ store            00000000000000000001.store: a header, then a frame for each record
//	 │   └─ index            00000000000000000001.index: record → position, a mapped hint; written when the segment ends
//	 └─ segment 42 …         active: the last one, the only one written to
//	     └─ store            its index is in memory
//
// Its use:
//
//	log, err := wal.Open(dir, wal.Options{}) // durable before acknowledged
//	if err != nil {
//		return err // a *wal.CorruptError where something durable is damaged
//	}
//	defer log.Close() // seals: the next Open knows that nothing is missing
//	offset, err := log.Append([]byte("a record"))
//	if err != nil {
//		return err // the record is not acknowledged; see Append for what may be on disk
//	}
//	payload, err := log.Read(offset)
//	for record, err := range log.Records(log.First()) { // Follow waits for more
//		…
//	}
//	err = log.TruncateFront(offset) // whole segments before it go
//
// # Concurrency
//
// Every method of a Log may be called concurrently with every other. Appends that run at the same time share one write
// and one sync. Reading never waits for writing. A caller that needs to know an offset before the sync calls Submit and, later,
// Wait. The iterators of Records and Follow belong to one goroutine each; there may be any number of them. TruncateBack
// and Reset change what offsets mean, so they are for callers whose readers don't depend on that.
//
// One process may have a log open for writing. Nothing here checks that: kv does, with a lock file. Any number of
// processes may have it open with Options.ReadOnly at the same time.
//
// # What the sync modes promise
//
//   - SyncAlways: an append returns once its record is durable. Nothing acknowledged is lost.
//   - SyncInterval: an append returns once its record is written. The death of the process loses nothing; a power cut
//     loses at most what was acknowledged in the last Options.SyncInterval, and while the sync itself took.
//   - SyncNever: the same, but a power cut loses what was acknowledged since the segment was begun, or since Sync.
//
// In every mode what is recovered is a prefix: never a later record without an earlier one.
//
// # Damage
//
// Open tells an unfinished tail from damage. It cuts the tail off, keeps it aside and reports it in Recovery. Damage is
// anything that was durable and isn't there as it was written: Open refuses it with a *CorruptError and changes nothing; so
// does a read that meets it. After a failed write or sync the log takes no more records until it is opened again.
//
// docs/format.md describes the bytes, docs/design.md the rules.
package wal
