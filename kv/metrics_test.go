package kv

import (
	"bytes"
	"errors"
	"math"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/histogram"
)

// family is what a page of Prometheus text has under one name.
type family struct {
	name, kind, help string
	samples          []sample
}

type sample struct {
	suffix string // Of the family's name.
	bound  string // Of a bucket.
	labels string // Those of the store.
	value  float64
}

var (
	headLine   = regexp.MustCompile(`^# (HELP|TYPE) ([a-z][a-z0-9_]*) ([^\\]+)$`)
	sampleLine = regexp.MustCompile(`^([a-z][a-z0-9_]*)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)*?)(?:le="([^"]+)")?\})? (\S+)$`)
)

// parsePrometheus reads a page by the letter: for each family HELP, TYPE and its samples, and nothing else.
func parsePrometheus(t *testing.T, page string) map[string]*family {
	t.Helper()
	require.True(t, strings.HasSuffix(page, "\n"), "the last line ends too")
	families := map[string]*family{}
	var current *family
	for _, line := range strings.Split(strings.TrimSuffix(page, "\n"), "\n") {
		if head := headLine.FindStringSubmatch(line); head != nil {
			current = headFamily(t, families, current, head[1], head[2], head[3])
			continue
		}
		found := sampleLine.FindStringSubmatch(line)
		require.NotNil(t, found, "line %q", line)
		require.NotNil(t, current, "line %q has no head", line)
		require.NotEmpty(t, current.kind, "line %q comes before its type", line)
		suffix, ours := strings.CutPrefix(found[1], current.name)
		require.True(t, ours, "line %q stands under %s", line, current.name)
		value, err := strconv.ParseFloat(found[4], 64)
		require.NoError(t, err)
		labels := strings.TrimSuffix(found[2], ",")
		current.samples = append(current.samples, sample{suffix: suffix, labels: labels, bound: found[3], value: value})
	}
	for _, f := range families {
		requireFamily(t, f)
	}
	return families
}

func headFamily(t *testing.T, families map[string]*family, current *family, line, name, text string) *family {
	t.Helper()
	if line == "HELP" {
		require.NotContains(t, families, name, "said twice")
		families[name] = &family{name: name, help: text}
		return families[name]
	}
	require.NotNil(t, current)
	require.Equal(t, current.name, name, "a type follows its help")
	require.Empty(t, current.kind)
	current.kind = text
	return current
}

func requireFamily(t *testing.T, f *family) {
	t.Helper()
	require.Regexp(t, `^walnut_`, f.name)
	switch f.kind {
	case "histogram":
		requireHistogram(t, f)
		return
	case "gauge":
		require.NotRegexp(t, `_total$`, f.name)
	case "counter":
		require.Regexp(t, `_total$`, f.name)
	default:
		require.Fail(t, "unknown type", "%s of %s", f.kind, f.name)
	}
	seen := map[string]bool{}
	for _, s := range f.samples {
		require.Empty(t, s.suffix+s.bound, f.name)
		require.False(t, seen[s.labels], "%s has {%s} twice", f.name, s.labels)
		seen[s.labels] = true
	}
}

func requireHistogram(t *testing.T, f *family) {
	t.Helper()
	for len(f.samples) > 0 && f.samples[0].labels != f.samples[len(f.samples)-1].labels { // Store by store.
		next := slices.IndexFunc(f.samples, func(s sample) bool { return s.labels != f.samples[0].labels })
		requireHistogram(t, &family{f.name, f.kind, f.help, f.samples[:next]})
		f = &family{f.name, f.kind, f.help, f.samples[next:]}
	}
	buckets, rest := f.samples[:len(f.samples)-2], f.samples[len(f.samples)-2:]
	bound, total := math.Inf(-1), 0.0
	for _, bucket := range buckets {
		require.Equal(t, "_bucket", bucket.suffix)
		next, err := strconv.ParseFloat(bucket.bound, 64)
		require.NoError(t, err)
		require.Greater(t, next, bound, f.name)
		require.GreaterOrEqual(t, bucket.value, total, "%s at %v", f.name, next)
		bound, total = next, bucket.value
	}
	require.True(t, math.IsInf(bound, 1), f.name)
	require.Equal(t, "_sum", rest[0].suffix)
	require.Equal(t, "_count", rest[1].suffix)
	require.Equal(t, total, rest[1].value, f.name)
	require.Empty(t, rest[0].bound+rest[1].bound)
}

func pageOf(t *testing.T, stats Stats) map[string]*family {
	t.Helper()
	var page bytes.Buffer
	require.NoError(t, stats.WritePrometheus(&page))
	return parsePrometheus(t, page.String())
}

func TestPrometheusTextIsWellFormed(t *testing.T) {
	db, _ := openMem(t)
	for range 20 {
		requireHolds(t, db) // So that the commit goes into a clone.
		put(t, db, "k", "v")
		inUpdate(t, db, func(tx *Tx) { require.NoError(t, tx.Delete([]byte("k"))) })
	}
	put(t, db, "k", "v")
	families := pageOf(t, db.Stats())
	require.Equal(t, 1.0, families["walnut_keys"].samples[0].value)
	require.Equal(t, 41.0, families["walnut_commits_total"].samples[0].value)
	for _, name := range []string{"walnut_sync_seconds", "walnut_commit_seconds", "walnut_group_commits", "walnut_clone_seconds"} {
		samples := families[name].samples
		require.Positive(t, samples[len(samples)-2].value, "the sum of %s", name)
		require.GreaterOrEqual(t, samples[len(samples)-1].value, 20.0, "the count of %s", name)
	}
	pageOf(t, Stats{})
}

func TestEveryNumberIsInThePrometheusText(t *testing.T) {
	stats, texts := numbered()
	values := map[string]bool{}
	for _, f := range pageOf(t, stats) {
		if len(f.samples) == 0 {
			continue
		}
		values[strconv.FormatFloat(f.samples[0].value, 'f', -1, 64)] = true
	}
	for field, number := range texts {
		if field != "CheckpointStats.Due" { // It changes with each snapshot, and no dashboard draws it.
			require.Contains(t, values, number, field)
		}
	}
}

func TestPrometheusLeavesOutWhatIsNotKnown(t *testing.T) {
	require.Empty(t, pageOf(t, Stats{FreeBytes: -1})["walnut_free_bytes"].samples)
	require.Len(t, pageOf(t, Stats{})["walnut_free_bytes"].samples, 1)
	require.Equal(t, 1.0, pageOf(t, Stats{Failed: ErrFailed})["walnut_failed"].samples[0].value)
}

func TestPrometheusTellsOfCheckpointsUnderNamesThatDashboardsKnow(t *testing.T) {
	families := pageOf(t, Stats{
		Checkpoints: CheckpointStats{Snapshots: 2, SnapshotBytes: 300, Offset: 77, LogBytes: 40, Taken: 5, Failed: 1, Last: 1500 * time.Millisecond},
		Recovery:    Recovery{Loaded: 3, Skipped: []SkippedSnapshot{{}, {}, {}, {}}},
	})
	for name, want := range map[string]float64{
		"walnut_snapshots": 2, "walnut_snapshot_bytes": 300, "walnut_snapshot_offset": 77, "walnut_log_replay_bytes": 40,
		"walnut_checkpoints_taken_total": 5, "walnut_checkpoints_failed_total": 1, "walnut_checkpoint_last_seconds": 1.5,
		"walnut_recovery_loaded_pairs": 3, "walnut_recovery_skipped_snapshots": 4,
	} {
		require.Contains(t, families, name)
		require.Equal(t, want, families[name].samples[0].value, name)
	}
}

func TestPrometheusHistogramsCountEachValueInItsBuckets(t *testing.T) {
	var h histogram.Histogram
	for _, latency := range []time.Duration{1024, 1025, time.Second, time.Hour} {
		h.Record(int64(latency))
	}
	samples := pageOf(t, Stats{SyncLatency: newLatency(h.Snapshot())})["walnut_sync_seconds"].samples
	counts := map[string]float64{}
	for _, s := range samples {
		counts[s.suffix+s.bound] = s.value
	}
	require.Equal(t, 1.0, counts["_bucket1.024e-06"])
	require.Equal(t, 2.0, counts["_bucket2.048e-06"])
	require.Equal(t, 2.0, counts["_bucket0.536870912"])
	require.Equal(t, 3.0, counts["_bucket1.073741824"])
	require.Equal(t, 3.0, counts["_bucket34.359738368"])
	require.Equal(t, 4.0, counts["_bucket+Inf"])
	require.Equal(t, 4.0, counts["_count"])
	require.InDelta(t, 3601.000002049, counts["_sum"], 1e-9)
}

// brokenWriter fails every write.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestPrometheusReturnsTheWritersError(t *testing.T) {
	broken := errors.New("broken")
	require.ErrorIs(t, Stats{}.WritePrometheus(brokenWriter{broken}), broken)
}

func TestTwoStoresShareAPage(t *testing.T) {
	db, _ := openMem(t)
	put(t, db, "k", "v")
	stats := db.Stats()
	stats.FreeBytes = 1 << 30
	var page bytes.Buffer
	require.NoError(t, WritePrometheus(&page,
		LabelledStats{Stats: stats, Labels: []Label{{"store", "a"}, {"region", "x"}}},
		LabelledStats{Stats: stats, Labels: []Label{{"store", "a \"quoted\" \\ value\nof two lines, {le=\"1\"}"}}},
		LabelledStats{Stats: Stats{FreeBytes: -1}}))
	families := parsePrometheus(t, page.String())
	require.Equal(t, []sample{
		{labels: `store="a",region="x"`, value: 1},
		{labels: `store="a \"quoted\" \\ value\nof two lines, {le=\"1\"}"`, value: 1},
		{value: 0},
	}, families["walnut_keys"].samples)
	require.Len(t, families["walnut_free_bytes"].samples, 2, "one system doesn't say")
	require.Len(t, families["walnut_build_info"].samples, 1, "it is about the program")
}

func TestLabelsThatPrometheusRefusesAreRefused(t *testing.T) {
	labelled := func(labels ...Label) LabelledStats { return LabelledStats{Labels: labels} }
	for _, c := range []struct {
		name   string
		stores []LabelledStats
		want   string
	}{
		{"an empty name", []LabelledStats{labelled(Label{"", "v"})}, `label "": a name has letters`},
		{"a name with a dash", []LabelledStats{labelled(Label{"a-b", "v"})}, `label "a-b"`},
		{"a name that begins with a digit", []LabelledStats{labelled(Label{"1a", "v"})}, `label "1a"`},
		{"a name with a line end", []LabelledStats{labelled(Label{"a\n", "v"})}, `label "a\n"`},
		{"a bucket's bound", []LabelledStats{labelled(Label{"le", "v"})}, `label "le": the name is reserved`},
		{"Prometheus' own", []LabelledStats{labelled(Label{"__name__", "v"})}, `reserved`},
		{"one name twice", []LabelledStats{labelled(Label{"a", "v"}, Label{"a", "w"})}, `label "a": the name comes twice`},
		{"a value that isn't UTF-8", []LabelledStats{labelled(Label{"a", "\xff"})}, `not valid UTF-8`},
		{
			"two stores that nothing tells apart",
			[]LabelledStats{labelled(Label{"a", "1"}, Label{"b", "2"}), labelled(Label{"b", "2"}, Label{"c", ""}, Label{"a", "1"})},
			"store 2 has the same labels",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var page bytes.Buffer
			require.ErrorContains(t, WritePrometheus(&page, c.stores...), c.want)
			require.Zero(t, page.Len())
		})
	}
}

func TestPrometheusSaysWhenTheLastCheckpointAndBackupEnded(t *testing.T) {
	db, _ := openMem(t)
	put(t, db, "k", "v")
	at := func(name string) float64 { return pageOf(t, db.Stats())[name].samples[0].value }
	const checkpointed, backedUp = "walnut_checkpoint_last_timestamp_seconds", "walnut_last_backup_timestamp_seconds"
	require.Zero(t, at(checkpointed))
	require.Zero(t, at(backedUp))
	before := float64(time.Now().Unix())
	checkpoint(t, db)
	_, err := db.Backup(t.Context(), brokenWriter{errors.New("broken")})
	require.Error(t, err)
	require.Zero(t, at(backedUp), "one that failed is none")
	_, err = db.BackupSince(t.Context(), new(bytes.Buffer), 1)
	require.NoError(t, err)
	for _, name := range []string{checkpointed, backedUp} {
		require.InDelta(t, before, at(name), 60, name)
	}
}

// TestPromtoolFindsNothing asks Prometheus' own tool about a page of two stores.
func TestPromtoolFindsNothing(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is missing (Debian: prometheus)")
	}
	db, _ := openMem(t)
	put(t, db, "k", "v")
	var page bytes.Buffer
	require.NoError(t, WritePrometheus(&page,
		LabelledStats{Stats: db.Stats(), Labels: []Label{{"store", "\\\"\n"}}}, LabelledStats{Stats: db.Stats()}))
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = &page
	said, err := check.CombinedOutput()
	require.NoError(t, err, "%s", said)
	require.Empty(t, string(said))
}
