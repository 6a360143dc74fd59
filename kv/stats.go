package kv

// Stats are a store's numbers at one moment. Counters count from Open.
type Stats struct {
	Keys      int   // Visible pairs; pairs whose deadline has passed may still count.
	DataBytes int64 // Bytes of their keys and values.

	First   uint64 // The first offset that the log holds; one behind the last where it holds none.
	Durable uint64 // The last offset that no power cut can take.
	Visible uint64 // The last offset that readers see.

	Segments  int   // Segments of the log.
	DiskBytes int64 // Bytes that the log takes on disk.

	Appends       uint64 // Commits written.
	AppendedBytes uint64 // Their bytes, encoded.
	Writes        uint64 // Writes to the log's files.
	Syncs         uint64 // Syncs of the log's files.
	Rolls         uint64 // Segments that were full, so that a new one was begun.

	Recovery Recovery // What Open found and did.
	Failed   error    // Why the store takes no more commits; nil where it does.
}

// Stats returns the store's numbers. Of a closed store only Recovery is set.
func (db *DB) Stats() Stats {
	stats := Stats{Recovery: db.recovery}
	db.mu.Lock()
	err := db.enter()
	failed := db.failed
	db.mu.Unlock()
	if err != nil {
		return stats
	}
	defer db.inflight.Done()
	visible, log := db.visible.Load(), db.log.Stats()
	stats.Keys, stats.DataBytes, stats.Visible = visible.tree.len(), visible.dataBytes, visible.offset
	stats.First, stats.Durable = log.First, log.Durable
	stats.Segments, stats.DiskBytes = log.Segments, log.Bytes
	stats.Appends, stats.AppendedBytes = log.Appends, log.AppendedBytes
	stats.Writes, stats.Syncs, stats.Rolls = log.Writes, log.Syncs, log.Rolls
	stats.Failed = failed
	if failed == nil {
		stats.Failed = log.Failed
	}
	return stats
}
