package kv

import (
	"bytes"
	"encoding/json"
	"math"
)

// MarshalJSON returns the numbers as one object. Sizes are in bytes, durations in seconds, as the names say; what is not
// known, and a size at which nothing ever happens, is -1; an error is its text, and empty where there is none. There is no
// way back from JSON.
func (s Stats) MarshalJSON() ([]byte, error) {
	type numbers Stats // Without this method.
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // A page that embeds the object escapes it.
	err := encoder.Encode(struct {
		numbers
		OldestViewSeconds float64         `json:"oldest_view_seconds"`
		Checkpoints       checkpointsJSON `json:"checkpoints"`
		Failed            string          `json:"failed"`
		Recovery          recoveryJSON    `json:"recovery"`
	}{numbers(s), s.OldestView.Seconds(), newCheckpointsJSON(s.Checkpoints), errorText(s.Failed), newRecoveryJSON(s.Recovery)})
	return out.Bytes(), err
}

// MarshalJSON returns the numbers as Stats has them, in seconds.
func (l Latency) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Count uint64  `json:"count"`
		Mean  float64 `json:"mean"`
		P50   float64 `json:"p50"`
		P90   float64 `json:"p90"`
		P99   float64 `json:"p99"`
		P999  float64 `json:"p999"`
		Max   float64 `json:"max"`
	}{l.Count, l.Mean.Seconds(), l.P50.Seconds(), l.P90.Seconds(), l.P99.Seconds(), l.P999.Seconds(), l.Max.Seconds()})
}

type checkpointsJSON struct {
	Snapshots     int     `json:"snapshots"`
	SnapshotBytes int64   `json:"snapshot_bytes"`
	Offset        uint64  `json:"offset"`
	LogBytes      int64   `json:"log_bytes"`
	DueBytes      int64   `json:"due_bytes"` // -1 where no checkpoint starts by itself.
	Taken         uint64  `json:"taken"`
	Failed        uint64  `json:"failed"`
	LastSeconds   float64 `json:"last_seconds"`
	Error         string  `json:"error"`
}

type recoveryJSON struct {
	Outcome        string        `json:"outcome"`
	First          uint64        `json:"first"`
	Last           uint64        `json:"last"`
	Segments       int           `json:"segments"`
	CutBytes       int64         `json:"cut_bytes"`
	CutPath        string        `json:"cut_path"`
	CutPosition    int64         `json:"cut_position"`
	QuarantinePath string        `json:"quarantine_path"`
	ReloggedBytes  int64         `json:"relogged_bytes"`
	RebuiltIndexes []string      `json:"rebuilt_indexes"`
	Removed        []string      `json:"removed"`
	Snapshot       string        `json:"snapshot"`
	Loaded         int           `json:"loaded"`
	Skipped        []skippedJSON `json:"skipped"`
	Replayed       uint64        `json:"replayed"`
	Keys           int           `json:"keys"`
	LogSeconds     float64       `json:"log_seconds"`
	ElapsedSeconds float64       `json:"elapsed_seconds"`
}

type skippedJSON struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

func newCheckpointsJSON(c CheckpointStats) checkpointsJSON {
	checkpoints := checkpointsJSON{
		Snapshots: c.Snapshots, SnapshotBytes: c.SnapshotBytes, Offset: c.Offset, LogBytes: c.LogBytes, DueBytes: c.Due,
		Taken: c.Taken, Failed: c.Failed, LastSeconds: c.Last.Seconds(), Error: errorText(c.Err),
	}
	if c.Due == math.MaxInt64 {
		checkpoints.DueBytes = -1
	}
	return checkpoints
}

// errorText is an error's text, "" where there is none.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func newRecoveryJSON(r Recovery) recoveryJSON {
	skipped := []skippedJSON{}
	for _, s := range r.Skipped {
		skipped = append(skipped, skippedJSON{Path: s.Path, Error: errorText(s.Err)})
	}
	return recoveryJSON{
		Outcome: r.Log.Outcome.String(), First: r.Log.First, Last: r.Log.Last, Segments: r.Log.Segments,
		CutBytes: r.Log.CutBytes, CutPath: r.Log.CutPath, CutPosition: r.Log.CutPosition,
		QuarantinePath: r.Log.QuarantinePath, ReloggedBytes: r.Log.ReloggedBytes,
		// Programs get an empty list, never null.
		RebuiltIndexes: append([]string{}, r.Log.RebuiltIndexes...), Removed: append(append([]string{}, r.Log.Removed...), r.Removed...),
		Snapshot: r.Snapshot, Loaded: r.Loaded, Skipped: skipped,
		Replayed: r.Replayed, Keys: r.Keys,
		LogSeconds: r.Log.Elapsed.Seconds(), ElapsedSeconds: r.Elapsed.Seconds(),
	}
}
