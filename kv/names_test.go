package kv

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// names has each number of Stats under its three names: the field, the member in JSON (a dot is an object inside), and the metric. One
// word stands for one thing in all of them. None means that the number has no such form, for the reason given.
var names = []struct{ field, json, metric, none string }{
	{"Keys", "keys", "walnut_keys", ""},
	{"DataBytes", "data_bytes", "walnut_data_bytes", ""},
	{"Deadlines", "deadlines", "walnut_deadlines", ""},
	{"Checksum", "checksum", "", "it is no quantity"},
	{"Expired", "expired", "walnut_expired_keys", ""},
	{"Swept", "swept", "walnut_swept_keys_total", ""},
	{"First", "first", "walnut_first_offset", ""},
	{"Durable", "durable", "walnut_durable_offset", ""},
	{"Visible", "visible", "walnut_visible_offset", ""},
	{"OpenViews", "open_views", "walnut_open_views", ""},
	{"OldestView", "oldest_view_seconds", "walnut_oldest_view_seconds", ""},
	{"Segments", "segments", "walnut_segments", ""},
	{"DiskBytes", "disk_bytes", "walnut_disk_bytes", ""},
	{"FreeBytes", "free_bytes", "walnut_free_bytes", ""},
	{"Commits", "commits", "walnut_commits_total", ""},
	{"CommitBytes", "commit_bytes", "walnut_commit_bytes_total", ""},
	{"WrittenBytes", "written_bytes", "walnut_written_bytes_total", ""},
	{"Writes", "writes", "walnut_writes_total", ""},
	{"Syncs", "syncs", "walnut_syncs_total", ""},
	{"SlowSyncs", "slow_syncs", "walnut_slow_syncs_total", ""},
	{"Rolls", "rolls", "walnut_rolls_total", ""},
	{"IndexRebuilds", "index_rebuilds", "walnut_index_rebuilds_total", ""},
	{"SyncLatency", "sync_seconds", "walnut_sync_seconds", ""},
	{"GroupCommits", "group_commits", "walnut_group_commits", ""},
	{"CommitLatency", "commit_seconds", "walnut_commit_seconds", ""},
	{"CloneLatency", "clone_seconds", "walnut_clone_seconds", ""},
	{"LastBackup", "last_backup_timestamp_seconds", "walnut_last_backup_timestamp_seconds", ""},
	{"Checkpoints.Snapshots", "checkpoints.snapshots", "walnut_snapshots", ""},
	{"Checkpoints.SnapshotBytes", "checkpoints.snapshot_bytes", "walnut_snapshot_bytes", ""},
	{"Checkpoints.Offset", "checkpoints.offset", "walnut_snapshot_offset", ""},
	{"Checkpoints.LogBytes", "checkpoints.log_bytes", "walnut_log_replay_bytes", ""},
	{"Checkpoints.Due", "checkpoints.due_bytes", "", "it changes with each snapshot, and no dashboard draws it"},
	{"Checkpoints.Taken", "checkpoints.taken", "walnut_checkpoints_taken_total", ""},
	{"Checkpoints.Failed", "checkpoints.failed", "walnut_checkpoints_failed_total", ""},
	{"Checkpoints.Last", "checkpoints.last_seconds", "walnut_checkpoint_last_seconds", ""},
	{"Checkpoints.LastTime", "checkpoints.last_timestamp_seconds", "walnut_checkpoint_last_timestamp_seconds", ""},
	{"Checkpoints.Err", "checkpoints.error", "", "an error is no number"},
	{"FollowLag.Commits", "follow_lag.commits", "walnut_follow_lag_commits", ""},
	{"FollowLag.Age", "follow_lag.age_seconds", "walnut_follow_lag_age_seconds", ""},
	{"Recovery.Log", "recovery.cut_bytes", "walnut_recovery_cut_bytes", ""},
	{"Recovery.Snapshot", "recovery.snapshot", "", "a path is no number"},
	{"Recovery.Skipped", "recovery.skipped", "walnut_recovery_skipped_snapshots", ""},
	{"Recovery.Removed", "recovery.removed", "", "paths are no number"},
	{"Recovery.Loaded", "recovery.loaded", "walnut_recovery_loaded_pairs", ""},
	{"Recovery.Replayed", "recovery.replayed", "walnut_recovery_replayed_commits", ""},
	{"Recovery.Keys", "recovery.keys", "", "walnut_keys shows what there is now"},
	{"Recovery.Elapsed", "recovery.elapsed_seconds", "walnut_recovery_elapsed_seconds", ""},
	{"Failed", "failed", "walnut_failed", ""},
}

// fieldNames returns the fields of Stats, those of its structs with the struct's name before a dot.
func fieldNames(of reflect.Type) (all []string) {
	for i := range of.NumField() {
		field := of.Field(i)
		switch {
		case !field.IsExported():
		case slices.Contains([]string{"Checkpoints", "FollowLag", "Recovery"}, field.Name):
			for _, inside := range fieldNames(field.Type) {
				all = append(all, field.Name+"."+inside)
			}
		default:
			all = append(all, field.Name)
		}
	}
	return all
}

func TestEachFieldOfStatsHasARowOfNames(t *testing.T) {
	var listed []string
	for _, row := range names {
		listed = append(listed, row.field)
	}
	require.ElementsMatch(t, fieldNames(reflect.TypeFor[Stats]()), listed)
}

func TestTheJSONHasTheNamesListed(t *testing.T) {
	text, err := json.Marshal(Stats{})
	require.NoError(t, err)
	var object map[string]any
	require.NoError(t, json.Unmarshal(text, &object))
	for _, row := range names {
		at := any(object)
		for name := range strings.SplitSeq(row.json, ".") {
			inside, isObject := at.(map[string]any)
			require.True(t, isObject && inside[name] != nil, row.json)
			at = inside[name]
		}
	}
	require.Len(t, object, len(slices.DeleteFunc(slices.Clone(names), func(row struct{ field, json, metric, none string }) bool {
		return strings.Contains(row.json, ".")
	}))+3, "a member that no row has, besides the three objects")
}

func TestThePageHasTheNamesListed(t *testing.T) {
	want := []string{"walnut_build_info"} // About the program, so in no Stats.
	for _, row := range names {
		require.Equal(t, row.metric == "", row.none != "", "%s: a reason goes with a missing metric alone", row.field)
		if row.metric != "" {
			want = append(want, row.metric)
		}
	}
	var have []string
	for name := range pageOf(t, Stats{}) {
		have = append(have, name)
	}
	require.ElementsMatch(t, want, have)
}

// TestOneWordStandsForOneThing compares the words: those of the JSON name are in the metric's, and the field's last words in both, but
// that a latency and an age are in seconds.
func TestOneWordStandsForOneThing(t *testing.T) {
	for _, row := range names {
		member := row.json[strings.LastIndex(row.json, ".")+1:]
		for word := range strings.SplitSeq(member, "_") {
			require.True(t, row.metric == "" || strings.Contains(row.metric, word), "%q of %s is not in %s", word, row.json, row.metric)
		}
		for word := range strings.SplitSeq(snakeCase(row.field[strings.LastIndex(row.field, ".")+1:]), "_") {
			if slices.Contains([]string{"latency", "log", "err"}, word) {
				continue
			}
			if word == "time" {
				word = "timestamp"
			}
			require.Contains(t, member, word, row.field)
		}
	}
}

func snakeCase(name string) string {
	var out strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			out.WriteByte('_')
		}
		out.WriteRune(r)
	}
	return strings.ToLower(out.String())
}

func TestTimesInJSONAreUnixSeconds(t *testing.T) {
	at := time.Unix(1_800_000_000, 250_000_000)
	text, err := json.Marshal(Stats{LastBackup: at, Checkpoints: CheckpointStats{LastTime: at.Add(time.Second)}})
	require.NoError(t, err)
	require.Contains(t, string(text), `"last_backup_timestamp_seconds":1800000000.25,`)
	require.Contains(t, string(text), `"last_timestamp_seconds":1800000001.25,`)
}
