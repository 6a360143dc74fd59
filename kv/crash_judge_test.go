package kv

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/crashtest"
	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
)

// recoveriesCut is how often a power cut during a recovery may follow another one.
const recoveriesCut = 2

// sweepingMost is how many states of a workload are left to their sweepers.
const sweepingMost = 8

// crashJudge judges one state.
type crashJudge struct {
	*crashState
	r    *crashRun
	dice *rand.Rand
	opts Options
	says string
}

func newJudge(r *crashRun, s *crashState) *crashJudge {
	j := &crashJudge{crashState: s, r: r, dice: rand.New(rand.NewPCG(s.lot, 6))}
	j.says = fmt.Sprintf("%s\n%s, promised %d", r.replay(), s.how, s.from)
	j.opts = Options{
		fs: s.disk, SegmentSize: r.opts.SegmentSize, SnapshotsKept: r.opts.SnapshotsKept, Indexes: r.opts.Indexes, ArchiveDir: s.archive,
		CheckpointFactor: -1, Clock: fixedClock(s.now), sweepByHand: true,
	}
	if j.chance(4) { // The clock was set back.
		j.opts.Clock = fixedClock(crashStart)
	}
	return j
}

// on returns options for a disk.
func (j *crashJudge) on(disk *vfs.Mem) Options {
	opts := j.opts
	opts.fs = disk
	return opts
}

func (j *crashJudge) chance(n int) bool { return j.dice.IntN(n) == 0 }

// require requires that there is no error.
func (j *crashJudge) require(err error, what ...any) {
	j.r.t.Helper()
	require.NoError(j.r.t, err, "%s: %s", j.says, fmt.Sprint(what...))
}

// run opens the state as its process would, uses it, and cuts the power again.
func (j *crashJudge) run() {
	j.r.judged = j.r.judged[:0]
	if j.restored && !j.isStore() {
		return
	}
	if j.cuts < recoveriesCut && j.dice.IntN(8) < 1+j.cuts {
		j.cutRecovery()
	}
	if j.cuts == 0 && j.chance(3) {
		j.look()
	}
	before := j.disk.Clone()
	if len(j.r.sweeping) < sweepingMost && j.chance(64) {
		kept := *j
		kept.opts.fs = j.disk.Clone()
		j.r.sweeping = append(j.r.sweeping, &kept)
	}
	db, is := j.open(j.opts)
	j.damageNewest(db, before)
	if j.cuts == 0 || j.chance(4) {
		j.use(db, is)
	}
	j.cutAgain(db)
}

// isStore reports whether a restore has come so far that its directory is a store.
func (j *crashJudge) isStore() bool {
	opts := j.on(j.disk.Clone())
	opts.ReadOnly = true
	db, err := j.r.openToJudge(j.dir, opts)
	if errors.Is(err, ErrNotStore) {
		return false
	}
	j.require(err, "open what was restored")
	j.require(db.Close())
	return true
}

// open opens a store and requires that it has a state of the history, from what was promised on.
func (j *crashJudge) open(opts Options) (*DB, crashMoment) {
	j.r.t.Helper()
	db, err := j.r.openToJudge(j.dir, opts)
	j.require(err, "open")
	offset := db.Offset()
	require.GreaterOrEqual(j.r.t, offset, j.from, j.says)
	if j.restored {
		require.Equal(j.r.t, j.from, offset, j.says)
	}
	m := j.moment(db, offset)
	now := max(unixNano(db.opts.Clock()), m.at) // The store's time is never before its last commit.
	require.Equal(j.r.t, m.pairs.lines(Range{}, now), lines(db.Scan(Range{})), "%s, recovered %d", j.says, offset)
	require.Equal(j.r.t, len(m.pairs), pairsHeld(db), "%s, recovered %d: what was swept is back, or what wasn't is gone", j.says, offset)
	return db, m
}

// moment returns what a store must have after an offset. A commit that the workload's store never showed is in the store itself.
func (j *crashJudge) moment(db *DB, offset uint64) crashMoment {
	m, known := j.r.moment(offset)
	if known {
		return m
	}
	coming, next := j.coming, uint64(len(j.r.after))
	for c, err := range db.Commits(next) {
		if j.require(err, "read"); c.Offset > offset {
			break
		}
		m, coming, err = m.explain(c, coming)
		j.require(err, "recovered ", offset)
		next++
	}
	require.Equal(j.r.t, offset+1, next, j.says)
	return m
}

// cutRecovery cuts the power before each call that opening the state makes, and judges what that leaves. What was in the page
// cache alone may be gone then.
func (j *crashJudge) cutRecovery() {
	disk := j.disk.Clone()
	var db *DB
	cuts := crashtest.Cuts(disk, j.dice, func() { db, _ = j.open(j.on(disk)) })
	j.require(db.Close())
	for i, cut := range cuts {
		next := *j.crashState
		next.disk, next.cuts, next.lot, next.from = cut.Disk, j.cuts+1, j.lot*31+uint64(i), j.durable
		if next.how = j.how + ", then in the recovery " + cut.How; j.r.all.IsNew(cut.Disk, next.cuts, next.from, next.acknowledged) {
			newJudge(j.r, &next).run()
		}
	}
}

// look opens the state for reading, as a view of its files, and to follow it: all show what opening it for writing does. Check finds
// no damage.
func (j *crashJudge) look() {
	opts := j.on(j.disk.Clone())
	opts.ReadOnly = true
	found, err := Check(j.r.t.Context(), j.dir, opts)
	if errors.Is(err, ErrNotStore) {
		require.Zero(j.r.t, j.from, j.says)
		return // The first opening died before it had made anything.
	}
	j.require(err, "check")
	for _, violation := range found {
		require.False(j.r.t, violation.Damage, "%s: check: %+v", j.says, violation)
	}
	view, err := OpenDiskView(j.r.t.Context(), j.dir, opts)
	j.require(err, "a view of the files")
	var viewed []string
	for p, err := range view.Scan(j.r.t.Context(), Range{}) {
		j.require(err, "a view of the files")
		viewed = append(viewed, string(p.Key)+"="+string(p.Value))
	}
	j.require(view.Close())
	opts.Follow = j.chance(2)
	db, _ := j.open(opts)
	require.Equal(j.r.t, lines(db.Scan(Range{})), viewed, "%s: a view of the files", j.says)
	j.require(db.Close())
	db, _ = j.open(j.on(j.disk.Clone()))
	require.Equal(j.r.t, viewed, lines(db.Scan(Range{})), "%s: opened for reading and for writing", j.says)
	j.require(db.Close())
}

// damageNewest flips a bit of the newest snapshot: an older one and a longer piece of the log must do.
func (j *crashJudge) damageNewest(db *DB, mem *vfs.Mem) {
	places, err := snapshot.List(mem, filepath.Join(j.dir, snapshotName))
	j.require(err)
	if len(places) == 0 || !j.r.fullKept || db.log.First() > 1 && len(places) < 2 || j.chance(2) {
		return
	}
	want := lines(db.Scan(Range{}))
	require.Positive(j.r.t, places[0].Bytes, "%s: the newest snapshot is empty", j.says)
	flipBit(j.r.t, mem, places[0].Path, j.dice.Int64N(8*places[0].Bytes))
	damaged, err := j.r.openToJudge(j.dir, j.on(mem))
	j.require(err, "the newest snapshot was damaged")
	require.Equal(j.r.t, want, lines(damaged.Scan(Range{})), "%s, and the newest snapshot was damaged", j.says)
	require.Len(j.r.t, damaged.Recovery().Skipped, 1, j.says)
	j.require(damaged.Close())
}

// use does with a store that crashed what its program may do.
func (j *crashJudge) use(db *DB, is crashMoment) {
	if len(j.opts.Indexes) > 0 {
		j.requireIndexed(db, is)
	}
	if j.chance(4) {
		j.requireFeed(db)
	}
	if j.chance(4) {
		j.requirePast(db)
	}
	if len(j.backups) > 0 && !j.restored && j.chance(12) {
		j.requireRestored(db)
	}
	switch j.dice.IntN(4) {
	case 0:
		j.requireSwept(db, is)
	case 1:
		_, err := db.Checkpoint(j.r.t.Context()) // Of what the start found, too, which may not be durable yet.
		j.require(err, "checkpoint")
	}
}

// requireIndexed requires that the index has every pair.
func (j *crashJudge) requireIndexed(db *DB, is crashMoment) {
	now := max(unixNano(db.opts.Clock()), is.at)
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(is.pairs)), func(key string) bool {
		return is.pairs[key].deadline != 0 && is.pairs[key].deadline <= now
	})
	first := func(key string) string { return is.pairs[key].value[:min(len(is.pairs[key].value), 20)] }
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(strings.Compare(first(a), first(b)), strings.Compare(a, b)) })
	var want []string
	for _, key := range keys {
		want = append(want, key+"="+is.pairs[key].value)
	}
	require.Equal(j.r.t, want, lines(db.ScanIndex("value", Range{})), "%s: index", j.says)
}

// requireFeed requires that a watcher gets every commit since the first, from archive and log, or all that the log has.
func (j *crashJudge) requireFeed(db *DB) {
	from := db.log.First()
	if j.archive != "" {
		from = j.first
	}
	if last := db.Offset(); from <= last {
		for c, err := range db.Watch(j.r.t.Context(), WatchOptions{From: from}) {
			j.require(err, "watch from ", from)
			before, known := j.r.moment(c.Offset - 1)
			if after, also := j.r.moment(c.Offset); known && also {
				before.pairs = maps.Clone(before.pairs)
				before.pairs.apply(c.Mutations)
				require.Equal(j.r.t, after.pairs, before.pairs, "%s: watch: commit %d", j.says, c.Offset)
			}
			require.Equal(j.r.t, from, c.Offset, "%s: watch", j.says)
			if from++; c.Offset == last {
				return
			}
		}
	}
}

// requirePast requires that a past state is as it was, if it is still held.
func (j *crashJudge) requirePast(db *DB) {
	offset := db.Offset() - min(db.Offset(), j.dice.Uint64N(12))
	view, err := db.At(j.r.t.Context(), offset)
	if errors.Is(err, ErrTruncated) {
		return
	}
	j.require(err, "the state at ", offset)
	defer func() { j.require(view.Close()) }()
	if m, known := j.r.moment(offset); known {
		require.Equal(j.r.t, m.pairs.lines(Range{}, m.at), lines(view.Scan(Range{})), "%s: the state at %d", j.says, offset)
	}
}

// requireRestored restores a store of a moment from the backups, the log and the archive that are left.
func (j *crashJudge) requireRestored(db *DB) {
	chain := slices.DeleteFunc(slices.Clone(j.backups), func(b crashBackup) bool { return b.offset > db.Offset() })
	if len(chain) == 0 {
		return
	}
	disk, most := j.disk.Clone(), chain[len(chain)-1].offset
	archive := []string{filepath.Join(j.dir, walName)}
	if _, err := disk.List(j.archive); j.archive != "" && err == nil {
		archive = append(archive, j.archive)
	}
	if db.log.First() <= most+1 {
		most = db.Offset()
	} else {
		archive = nil
	}
	to := chain[0].offset + j.dice.Uint64N(most-chain[0].offset+1)
	if to == 0 { // That asks for all that there is.
		return
	}
	whole, increments := readBackups(chain)
	opts := RestoreOptions{Increments: increments, Archive: archive, ToOffset: to, fs: disk}
	_, err := Restore(j.r.t.Context(), whole, "/restored", opts)
	j.require(err, "restore to ", to)
	restored, err := j.r.openToJudge("/restored", Options{fs: disk, Clock: j.opts.Clock, sweepByHand: true, CheckpointFactor: -1})
	j.require(err)
	m := j.moment(db, to)
	require.Equal(j.r.t, to, restored.Offset(), "%s: restored", j.says)
	require.Equal(j.r.t, len(m.pairs), pairsHeld(restored), "%s: restored to %d", j.says, to)
	now := max(unixNano(j.opts.Clock()), m.at)
	require.Equal(j.r.t, m.pairs.lines(Range{}, now), lines(restored.Scan(Range{})), "%s: restored to %d", j.says, to)
	j.require(restored.Close())
}

// requireSwept sweeps a store that crashed: all goes that has expired, as far as sweeps see it, and nothing that is visible.
func (j *crashJudge) requireSwept(db *DB, is crashMoment) {
	seen, swept := lines(db.Scan(Range{})), is.pairs.swept(db.now())
	for more := true; more; {
		var err error
		_, more, err = db.sweep(1+j.dice.IntN(4), false)
		j.require(err, "sweep")
	}
	require.Equal(j.r.t, seen, lines(db.Scan(Range{})), "%s, and was swept", j.says)
	require.Equal(j.r.t, len(is.pairs)-swept, pairsHeld(db), "%s, and was swept", j.says)
}

// requireSweepers lets stores that crashed sweep by themselves, all at the same time, since the workload's time passes with theirs.
func (r *crashRun) requireSweepers() {
	due, stores := time.Now(), make([]*DB, len(r.sweeping))
	for i, j := range r.sweeping {
		opts := j.opts
		opts.Clock, opts.sweepByHand = nil, false
		var err error
		stores[i], err = r.openToJudge(j.dir, opts)
		j.require(err, "open")
	}
	time.Sleep(2 * sweepEvery)
	synctest.Wait()
	for i, j := range r.sweeping {
		left := headOf(stores[i]).deadlines
		require.True(r.t, left.len() == 0 || left.next() > due.UnixNano(), "%s: what has expired was not swept", j.says)
		j.require(stores[i].Close())
	}
}

// cutAgain cuts the power once more: what the opened store showed in the default mode is as safe as what was before, and so is
// what it acknowledges.
func (j *crashJudge) cutAgain(db *DB) {
	if j.chance(2) {
		offset := db.Offset()
		next, err := db.Put([]byte("zz"), []byte("after the crash"))
		j.require(err, "put")
		require.Equal(j.r.t, offset+1, next, j.says)
	}
	want := lines(db.Scan(Range{}))
	again := j.on(j.disk.Crash(j.dice.Uint64(), vfs.Policies[j.dice.IntN(len(vfs.Policies))]))
	j.require(db.Close(), "close")
	db, err := j.r.openToJudge(j.dir, again)
	j.require(err, "after a second crash")
	require.Equal(j.r.t, want, lines(db.Scan(Range{})), "%s, after a second crash", j.says)
	j.damageNewest(db, again.fs.(*vfs.Mem).Clone())
	j.require(db.Close())
	if j.chance(2) {
		requireSound(j.r.t, j.dir, again)
	}
}
