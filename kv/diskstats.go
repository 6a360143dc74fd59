package kv

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Stats returns the store's numbers as DB.Stats of a read-only store does. What opening would have loaded and replayed is read, which takes
// time in proportion, but memory only for what the log has. Errors are those of Scan.
func (v *DiskView) Stats(ctx context.Context) (Stats, error) {
	started := time.Now()
	stats := Stats{Visible: v.Offset()}
	now := int64(math.MinInt64)
	for e, err := range v.entries(ctx, Range{}) {
		if err != nil {
			return Stats{}, fmt.Errorf("kv: read %s: %w", v.dir, err)
		}
		if now == math.MinInt64 {
			now = v.clock.now()
		}
		stats.DataBytes += int64(len(e.key) + len(e.value))
		stats.Checksum += Checksum(pairSum(e.key, e.value, e.deadline))
		if e.expired(now) {
			stats.Expired++
			continue
		}
		stats.Keys++
		if e.deadline != 0 {
			stats.Deadlines++
		}
	}
	stats.takeLog(v.log.Stats())
	size := int64(0)
	r := &stats.Recovery
	r.Log, r.Skipped, r.Keys, r.Replayed = v.log.Recovery(), v.skipped, stats.Keys+stats.Expired, v.Offset()-v.baseOffset()
	if v.base != nil {
		info := v.base.Info()
		r.Snapshot, r.Loaded, size = v.base.Path(), int(info.Entries), info.FileBytes
	}
	r.Elapsed = r.Log.Elapsed + time.Since(started)
	places, _ := v.snapshots.list() // What can't be listed counts as none, as for DB.Stats.
	stats.Checkpoints = CheckpointStats{Offset: v.baseOffset(), LogBytes: v.logBytes, Due: v.opts.checkpointDue(size)}
	stats.Checkpoints.count(places)
	return stats, nil
}
