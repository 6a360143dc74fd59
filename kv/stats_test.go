package kv

import (
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/wal"
)

func TestStatsTellWhatCommitsAndSyncsTook(t *testing.T) {
	db, _ := openMem(t)
	var writers sync.WaitGroup
	for writer := range 8 {
		writers.Go(func() {
			for i := range 50 {
				put(t, db, fmt.Sprint(writer, i), "value")
				require.NoError(t, db.View(func(*Tx) error { return nil })) // So that the next commit goes into a clone.
			}
		})
	}
	writers.Wait()
	stats := db.Stats()
	require.EqualValues(t, 400, stats.CommitLatency.Count)
	require.Equal(t, stats.Syncs, stats.SyncLatency.Count)
	require.EqualValues(t, 400, stats.GroupCommits.spread.Sum, "every commit was made durable by one sync")
	require.InDelta(t, 400/float64(stats.GroupCommits.Count), stats.GroupCommits.Mean, 1e-9)
	require.LessOrEqual(t, stats.GroupCommits.Max, int64(8))
	require.LessOrEqual(t, stats.CloneLatency.Count, stats.CommitLatency.Count)
	require.Greater(t, stats.WrittenBytes, stats.CommitBytes)
	for name, latency := range map[string]Latency{
		"sync": stats.SyncLatency, "commit": stats.CommitLatency, "clone": stats.CloneLatency,
	} {
		require.Positive(t, latency.P50, name)
		require.IsNonDecreasing(t, []time.Duration{latency.P50, latency.P90, latency.P99, latency.P999, latency.Max}, name)
		require.Positive(t, latency.Mean, name)
		require.LessOrEqual(t, latency.Mean, latency.Max, name)
	}
}

// TestEachCommitIsCountedAsTimed makes commits in every way there is, more than are measured each.
func TestEachCommitIsCountedAsTimed(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		var writers sync.WaitGroup
		for writer := range 4 {
			writers.Go(func() {
				for i := range timedAll / 3 {
					put(t, db, fmt.Sprint(writer, i), "value")
				}
			})
		}
		writers.Wait()
		inUpdate(t, db, func(tx *Tx) { require.NoError(t, tx.Put([]byte("k"), nil)) })
		inUpdate(t, db, func(tx *Tx) {}) // No commit.
		var b Batch
		_, err := db.Apply(&b) // Neither.
		require.NoError(t, err)
		b.Put([]byte("large"), make([]byte, 1<<20))
		_, err = db.Apply(&b)
		require.NoError(t, err)
		_, err = db.DeleteRange(nil, []byte("5"))
		require.NoError(t, err)
		stats := db.Stats()
		require.Equal(t, stats.Commits, stats.CommitLatency.Count)
		require.Equal(t, stats.Commits, db.Stats().CommitLatency.Count, "looking counts nothing")
	})
}

func TestACommitThatFailsIsNotTimed(t *testing.T) {
	db, _ := openMem(t)
	_, err := db.Put(nil, nil)
	require.Error(t, err)
	require.Zero(t, db.Stats().CommitLatency.Count)
}

func TestStatsWaitForNoTransaction(t *testing.T) {
	eachMode(t, func(t *testing.T, db *DB) {
		put(t, db, "before", "value")
		require.NoError(t, db.Update(func(tx *Tx) error {
			require.NoError(t, tx.Put([]byte("inside"), []byte("value")))
			require.Equal(t, 1, db.Stats().Keys, "what the transaction wrote is not visible")
			elsewhere := make(chan Stats)
			go func() { elsewhere <- db.Stats() }()
			require.EqualValues(t, 1, (<-elsewhere).Visible)
			return nil
		}))
		require.Equal(t, 2, db.Stats().Keys)
	})
}

func TestStatsCountWhatHasExpired(t *testing.T) {
	now := int64(1000)
	opts := manual(vfs.NewMem())
	opts.Clock = func() time.Time { return time.Unix(0, now) }
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "stays", "v")
	for _, key := range []string{"a", "b", "c", "d"} {
		_, err := db.PutTTL([]byte(key), nil, 100)
		require.NoError(t, err)
	}
	require.Zero(t, db.Stats().Expired)
	require.Equal(t, 5, db.Stats().Keys)
	require.Equal(t, 4, db.Stats().Deadlines)
	now = 1100
	require.Equal(t, 4, db.Stats().Expired)
	require.Zero(t, db.Stats().Deadlines)
	require.Equal(t, 1, db.Stats().Keys, "an expired pair is none that readers see")
	put(t, db, "a", "without a deadline")
	_, err = db.Delete([]byte("b"))
	require.NoError(t, err)
	require.Equal(t, 2, db.Stats().Expired)
	checkpoint(t, db)
	require.NoError(t, db.Close())

	db = openStore(t, storeDir, opts)
	require.Equal(t, 2, db.Stats().Expired, "a start brings them back")
	var b Batch
	b.DeleteRange([]byte("c"), []byte("e"))
	_, err = db.Apply(&b)
	require.NoError(t, err)
	require.Zero(t, db.Stats().Expired)
	require.Zero(t, db.visible.load().deadlines.len())
}

func TestStatsCountOpenViews(t *testing.T) {
	db, _ := openMem(t)
	clock := time.Now().UnixNano()
	db.now = func() int64 { return clock }
	require.Zero(t, db.Stats().OpenViews)
	held, err := db.ReadView()
	require.NoError(t, err)
	clock += int64(time.Hour)
	require.NoError(t, db.View(func(*Tx) error {
		stats := db.Stats()
		require.Equal(t, 2, stats.OpenViews)
		require.Equal(t, time.Hour, stats.OldestView)
		return nil
	}))
	require.NoError(t, held.Close())
	require.Zero(t, db.Stats().OpenViews)
	require.Zero(t, db.Stats().OldestView)
}

func TestStatsOfAClosedStoreAreItsRecovery(t *testing.T) {
	db, err := Open(storeDir, memOptions(vfs.NewMem()))
	require.NoError(t, err)
	put(t, db, "k", "v")
	require.NoError(t, db.Close())
	require.Equal(t, Stats{Recovery: db.Recovery()}, db.Stats())
}

func TestOptionsOfWhatIsToldReachTheLog(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(1 << 20)
	opts := memOptions(mem)
	opts.SlowSync, opts.LowSpace = time.Nanosecond, 2<<20
	logger, text := logTo()
	opts.Logger = logger
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	put(t, db, "k", "v")
	stats := db.Stats()
	require.Equal(t, stats.Syncs, stats.SlowSyncs)
	require.Positive(t, stats.SlowSyncs)
	require.Less(t, stats.FreeBytes, int64(1<<20))
	require.NoError(t, db.Close())
	require.Equal(t, 1, strings.Count(text.String(), "sync was slow"))
	require.Equal(t, 1, strings.Count(text.String(), "file system is low on space"))
}

// numbered returns stats in which every number differs from all others, those of checkpoints included, and how JSON and
// Prometheus have each.
func numbered() (Stats, map[string]string) {
	stats, texts := Stats{Failed: errors.New("<failed>")}, map[string]string{}
	fill(reflect.ValueOf(&stats).Elem(), 1001, texts)
	fill(reflect.ValueOf(&stats.Checkpoints).Elem(), 2001, texts)
	return stats, texts
}

// fill sets the fields that are numbers, from one number on.
func fill(value reflect.Value, from int, texts map[string]string) {
	for i := range value.NumField() {
		field, name, number := value.Field(i), value.Type().Field(i).Name, int64(from+i)
		switch field.Interface().(type) {
		case time.Duration:
			field.SetInt(number * int64(time.Second))
		case int, int64:
			field.SetInt(number)
		case uint64:
			field.SetUint(uint64(number))
		default:
			continue
		}
		texts[value.Type().Name()+"."+name] = fmt.Sprint(number)
	}
}

func TestEveryNumberIsInTheJSON(t *testing.T) {
	stats, texts := numbered()
	text, err := json.Marshal(stats)
	require.NoError(t, err)
	for field, number := range texts {
		require.Regexp(t, `"[a-z_]+":`+number+`[,}]`, string(text), field)
	}
	require.Contains(t, string(text), `"failed":"\u003cfailed\u003e"`, "json.Marshal escapes what we don't")
}

func TestJSONHasDurationsInSecondsUnderNamesThatSaySo(t *testing.T) {
	latency := Latency{Count: 3, Mean: time.Second, P50: 2 * time.Second, P90: 3 * time.Second, P99: 4 * time.Second, P999: 5 * time.Millisecond, Max: 6 * time.Second}
	text, err := json.Marshal(Stats{
		SyncLatency: latency, OldestView: 1500 * time.Millisecond, GroupCommits: Sizes{Count: 1, Mean: 1.5, P50: 1, P90: 2, P99: 3, P999: 4, Max: 5},
		Recovery: Recovery{Elapsed: 2500 * time.Millisecond},
	})
	require.NoError(t, err)
	for _, want := range []string{
		`"sync_seconds":{"count":3,"mean":1,"p50":2,"p90":3,"p99":4,"p999":0.005,"max":6}`, `"oldest_view_seconds":1.5`,
		`"group_commits":{"count":1,"mean":1.5,"p50":1,"p90":2,"p99":3,"p999":4,"max":5}`, `"elapsed_seconds":2.5`, `"failed":""`,
	} {
		require.Contains(t, string(text), want)
	}
}

func TestJSONTellsOfCheckpointsAndOfWhatTheStartBeganWith(t *testing.T) {
	text, err := json.Marshal(Stats{
		Checkpoints: CheckpointStats{
			Snapshots: 2, SnapshotBytes: 300, Offset: 77, LogBytes: 40, Due: 50, Taken: 5, Failed: 1, Last: 1500 * time.Millisecond,
			Err: errors.New("disk"),
		},
		Recovery: Recovery{
			Log: wal.Recovery{Removed: []string{"wal/1.store"}}, Snapshot: "8.snap", Loaded: 3, Replayed: 4, Removed: []string{"9.snap.tmp"},
			Skipped: []SkippedSnapshot{{Path: "9.snap", Err: errors.New("checksum")}},
		},
	})
	require.NoError(t, err)
	for _, want := range []string{
		`"checkpoints":{"snapshots":2,"snapshot_bytes":300,"offset":77,"log_bytes":40,"due_bytes":50,"taken":5,"failed":1,"last_seconds":1.5,"last_timestamp_seconds":0,"error":"disk"}`,
		`"snapshot":"8.snap","loaded":3,"skipped":[{"path":"9.snap","error":"checksum"}],"replayed":4`,
		`"removed":["wal/1.store","9.snap.tmp"]`,
	} {
		require.Contains(t, string(text), want)
	}
}

func TestJSONHasListsWhereNothingIsInThemAndNoNumberForNever(t *testing.T) {
	text, err := json.Marshal(Stats{Checkpoints: CheckpointStats{Due: math.MaxInt64}})
	require.NoError(t, err)
	require.Contains(t, string(text), `"due_bytes":-1,`)
	require.Contains(t, string(text), `"skipped":[]`)
	require.Contains(t, string(text), `"removed":[]`)
	require.NotContains(t, string(text), "null")
}

func TestAnExpvarOfStatsIsOneObject(t *testing.T) {
	db, _ := openMem(t)
	put(t, db, "k", "v")
	published := expvar.Func(func() any { return db.Stats() })
	var object map[string]any
	require.NoError(t, json.Unmarshal([]byte(published.String()), &object))
	require.EqualValues(t, 1, object["keys"])
	require.Contains(t, object["commit_seconds"], "p99")
}
