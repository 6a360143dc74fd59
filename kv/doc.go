// Package kv is an ordered key-value store whose pairs live in memory and whose truth lives in a write-ahead log.
//
//	Put, Apply, Update ──▶ record ──▶ log ──▶ fsync ──▶ visible tree ──▶ acknowledged
//	                                                        ▲
//	                                                        └── Get, Scan, View, ReadView
//
// A commit is one record of the log: a list of mutations that is in the store wholly or not at all. In the default mode
// it is acknowledged, and visible to readers, once it is durable, so that a power cut takes back nothing that was
// acknowledged or read. Many writers share one fsync. A checkpoint writes what is visible to a snapshot, which is
// a file; opening a store loads the newest one and replays the log after it.
//
//	db, err := kv.Open(dir, kv.Options{})
//	if err != nil {
//		return err
//	}
//	defer db.Close()
//	if _, err := db.Put([]byte("fruit/apple"), []byte("red")); err != nil {
//		return err
//	}
//	for key, value := range db.Scan(kv.Range{Prefix: []byte("fruit/")}) {
//		fmt.Printf("%s %s\n", key, value)
//	}
//
// A Batch is a commit of many mutations. An Update reads and then writes, relying on what it read: a function that runs as if
// it were alone, and becomes one commit or, where it returns an error or panics, none. A View, and a ReadView that is held
// beyond a function, read one instant in many steps, and neither waits for a writer nor makes one wait. Calls that can wait
// have a variant with a context: OpenContext, UpdateContext and ApplyContext.
//
// Everything a DB does may be called by many goroutines at a time. Reads never wait for a transaction or the disk. What
// Get and Scan hand out is the store's own memory: read-only, and valid for as long as it is held, whatever happens to the
// pair or the store meanwhile.
//
// One process at a time has a store open for writing, by way of a lock file. Options.ReadOnly opens it beside that one,
// without a lock and without changing a byte. So does a DiskView, which reads a few pairs from the files instead of loading them all.
//
// A directory holds LOCK (the writer's process id), wal (the log), snapshot (the snapshots), ARCHIVE if the store has an archive,
// and, where a recovery had to cut an unfinished tail off the log, quarantine (what was cut). Keys hold 1 byte to MaxKeySize,
// values up to MaxValueSize, commits up to Options.MaxCommitSize.
package kv
