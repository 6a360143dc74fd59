package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv/kvpb"
	"github.com/walnutkv/walnut/wal"
)

const replicaArchive = "/data/replica-archive"

// backUp keeps a backup of a node, from which any node's archive must lead on. The parliament's lock is held.
func (s *seat) backUp() {
	var out bytes.Buffer
	offset, err := s.replica.DB().Backup(context.Background(), &out)
	assert.NoError(s.t, err, s.replay)
	s.backups = append(s.backups, backup{offset: offset, bytes: out.Bytes()})
}

// kept is what a node's archive and log hold together.
type kept struct {
	segments []Segment
	whole    uint64 // From there on nothing is missing.
	agreed   uint64 // Up to there the log says that its entries are agreed upon.
}

// keptBy requires that a node's archive and log have nothing but what was agreed upon.
func (p *parliament) keptBy(s *seat) (k kept, found bool) {
	db := s.replica.DB()
	archive, err := wal.OpenArchive(db.opts.log(storeDir), replicaArchive, db.walDir())
	if errors.Is(err, fs.ErrNotExist) {
		return k, false
	}
	require.NoError(p.t, err, p.replay)
	k = kept{segments: archive.Segments(), agreed: archive.Archived()}
	for i, segment := range k.segments {
		if i == 0 || segment.Base != k.segments[i-1].Last+1 {
			k.whole = segment.Base
		}
		for record, err := range archive.Records(segment.Base) {
			if err != nil || record.Offset > segment.Last {
				break // The next segment's, or a gap.
			}
			var c kvpb.Commit
			require.NoError(p.t, proto.Unmarshal(record.Payload, &c), p.replay)
			decision, agreed := c.Mutations[0].Decision, p.agreed[record.Offset]
			require.Equal(p.t, agreed.Term, decision.GetTerm(), "%s: node %d has another entry %d", p.replay, s.number, record.Offset)
			if i == len(k.segments)-1 {
				k.agreed = max(k.agreed, decision.GetCommitted())
			}
		}
	}
	require.NoError(p.t, archive.Close(), p.replay)
	return k, true
}

// happened returns the offsets of the commits that happened, from one on.
func (p *parliament) happened(from uint64) (offsets []uint64) {
	for offset := from; offset <= p.seats[0].committed; offset++ {
		if p.agreed[offset].Kind == kindCommand && !p.refused[offset] {
			offsets = append(offsets, offset)
		}
	}
	return offsets
}

// requireArchived requires that what happened, and no more, is watched from archive and log, and restored from them to any moment; and that
// what an install has left out is an error.
func (p *parliament) requireArchived(s *seat, after []map[string]string, total map[string]int) {
	k, found := p.keptBy(s)
	if !found {
		return
	}
	if k.segments[0].Base != k.whole {
		total["gaps"]++
	}
	if s.replica.DB().log.First() > k.segments[0].Base {
		total["archives"]++
	}
	dice := rand.New(rand.NewPCG(uint64(len(after)), 19))
	for _, from := range []uint64{
		1, k.whole - 1, k.whole, k.whole + 1, s.replica.DB().log.First() - 1,
		1 + dice.Uint64N(s.committed), k.whole + dice.Uint64N(s.committed-k.whole+1),
	} {
		if from > 0 {
			p.requireWatched(s, k, from)
		}
	}
	for range 6 {
		p.requireRestored(s, k, after, p.backups[dice.IntN(len(p.backups))], dice)
	}
}

// requireWatched requires that a watcher from an offset on gets each commit that happened, or an error before the first.
func (p *parliament) requireWatched(s *seat, k kept, from uint64) {
	db, want := s.replica.DB(), p.happened(from)
	if len(want) == 0 {
		return
	}
	var got []uint64
	for c, err := range db.Watch(context.Background(), WatchOptions{From: from}) {
		if from < k.whole {
			require.ErrorIs(p.t, err, ErrTruncated, "%s: node %d from %d", p.replay, s.number, from)
			require.ErrorContains(p.t, err, strconv.FormatUint(k.whole, 10))
			return
		}
		require.NoError(p.t, err, "%s: node %d from %d", p.replay, s.number, from)
		proposed, err := readProposal(p.agreed[c.Offset].Data)
		require.NoError(p.t, err, p.replay)
		require.Equal(p.t, proposed.mutations, appendRecord(nil, 0, c.Mutations), "%s: node %d at %d", p.replay, s.number, c.Offset)
		if got = append(got, c.Offset); len(got) == len(want) {
			break
		}
	}
	require.Equal(p.t, want, got, "%s: node %d from %d", p.replay, s.number, from)
}

// requireRestored restores from a backup through a node's archive and log: to an offset, to the time of a commit, and to the last.
func (p *parliament) requireRestored(s *seat, k kept, after []map[string]string, from backup, dice *rand.Rand) {
	held, end := unbroken(k.segments, from.offset), k.segments[len(k.segments)-1].Last
	hasGap := held < end
	check := func(opts RestoreOptions, want uint64, reachable bool) {
		mem := s.mem.Exit()
		opts.fs, opts.Archive = mem, []string{storeDir + "/" + walName}
		if _, err := mem.List(replicaArchive); err == nil {
			opts.Archive = append(opts.Archive, replicaArchive)
		}
		says := fmt.Sprintf("%s: node %d from %d to %d %v, held to %d, agreed %d, ends with %d",
			p.replay, s.number, from.offset, opts.ToOffset, opts.ToTime, held, k.agreed, end)
		_, err := Restore(context.Background(), bytes.NewReader(from.bytes), "/restored", opts)
		switch {
		case reachable:
			require.NoError(p.t, err, says)
			db, err := Open("/restored", memOptions(mem))
			require.NoError(p.t, err, says)
			require.Equal(p.t, linesOf(after[want]), lines(db.Scan(Range{})), says)
			require.NoError(p.t, db.Close(), says)
		case k.segments[0].Base > from.offset+1:
			require.ErrorIs(p.t, err, ErrMismatch, says)
		case hasGap:
			require.ErrorIs(p.t, err, ErrTruncated, says)
			require.ErrorContains(p.t, err, "are not held, the log was reset to go on with", says)
		default:
			require.ErrorIs(p.t, err, ErrOutOfRange, says)
		}
	}
	if from.offset < s.committed {
		to := from.offset + 1 + dice.Uint64N(s.committed-from.offset)
		check(RestoreOptions{ToOffset: to}, to, to <= min(held, max(k.agreed, k.whole-1)))
	}
	check(RestoreOptions{}, max(k.agreed, from.offset), !hasGap && k.segments[0].Base <= from.offset+1)

	later := p.happened(from.offset + 1)
	i := slices.IndexFunc(later, func(offset uint64) bool { return offset > min(held, max(k.agreed, k.whole-1)) })
	if i < 0 {
		i = len(later)
	}
	if i < 2 {
		return
	}
	n := dice.IntN(i)
	proposed, err := readProposal(p.agreed[later[n]].Data)
	require.NoError(p.t, err, p.replay)
	check(RestoreOptions{ToTime: time.Unix(0, proposed.made)}, later[n], !hasGap || n < i-1)
}

// archivingReplica is a replica with an archive, whose consensus agrees. No checkpoint starts by itself.
func archivingReplica(t *testing.T, mem *vfs.Mem) *script {
	opts := manual(mem)
	opts.ArchiveDir, opts.SnapshotsKept = replicaArchive, 1
	return openScript(t, opts)
}

// lengthen commits until the log has other segments, and takes a checkpoint, which truncates it. Some entries are refused or no commits.
func lengthen(t *testing.T, c *script) {
	t.Helper()
	db := c.replica.DB()
	for i := range 60 {
		switch i % 6 {
		case 1:
			require.NoError(t, c.enter(kindNoOp, []byte("no-op"), nil))
		case 2:
			seen, _ := c.replica.moment()
			require.ErrorIs(t, c.agree(foreign(seen.accepted/2, "refused", "")), ErrConflict)
		default:
			put(t, db, fmt.Sprint("key", db.Offset()), string(make([]byte, 200)))
		}
	}
	checkpoint(t, db)
}

// watchedFrom returns the offsets of the commits from one on, up to the last there is, or the error.
func watchedFrom(t *testing.T, db *DB, from uint64) (offsets []uint64, err error) {
	t.Helper()
	last := db.visible.load().accepted
	for c, err := range db.Watch(t.Context(), WatchOptions{From: from}) {
		if err != nil {
			return offsets, err
		}
		require.NotEqual(t, "refused", string(c.Mutations[0].Key))
		if offsets = append(offsets, c.Offset); c.Offset == last {
			break
		}
	}
	return offsets, nil
}

func TestAWatcherOfAReplicaGoesOnFromTheArchive(t *testing.T) {
	mem := vfs.NewMem()
	c := archivingReplica(t, mem)
	db := c.replica.DB()
	for range 4 {
		lengthen(t, c)
	}
	require.Contains(t, mem.Names(), filepath.Join(storeDir, archiveName))
	all, err := watchedFrom(t, db, 1)
	require.NoError(t, err)
	require.Len(t, all, 160)
	require.Greater(t, db.log.First(), all[100])
	for from := uint64(1); from <= all[len(all)-1]; from++ {
		got, err := watchedFrom(t, db, from)
		require.NoError(t, err)
		i, _ := slices.BinarySearch(all, from)
		require.Equal(t, all[i:], got, "from %d", from)
	}
	_, err = db.At(t.Context(), 5)
	require.ErrorIs(t, err, ErrTruncated, "At reads no archive")

	opts := db.opts
	opts.ReadOnly, opts.member, opts.fs = true, nil, mem.Exit()
	reader, err := Open(storeDir, opts)
	require.NoError(t, err)
	got, err := watchedFrom(t, reader, 1)
	require.NoError(t, err)
	require.Equal(t, all[:len(got)], got)
	require.NoError(t, reader.Close())
}

func TestARestoreGoesThroughTheArchiveOfAReplicaAndEndsWithWhatIsAgreedUpon(t *testing.T) {
	mem := vfs.NewMem()
	c := archivingReplica(t, mem)
	db := c.replica.DB()
	state, from := stateOf(t, c)
	require.Zero(t, from)
	pasts := map[uint64][]string{}
	for range 3 {
		lengthen(t, c)
		pasts[db.Offset()] = lines(db.Scan(Range{}))
	}
	put(t, db, "agreed", "")
	known := db.Offset()
	pasts[known] = lines(db.Scan(Range{}))
	seen, _ := c.replica.moment()
	require.NoError(t, c.replica.Log().Append(known, []Entry{
		{Offset: known + 1, Term: 2, Data: foreign(seen.accepted, "cut", "")}, {Offset: known + 2, Term: 2, Data: foreign(known+1, "cut", "")},
	}))
	pasts[0] = pasts[known]
	for to, want := range pasts {
		left := mem.Exit()
		opts := RestoreOptions{Archive: []string{replicaArchive, storeDir + "/" + walName}, ToOffset: to, fs: left}
		offset, err := Restore(t.Context(), bytes.NewReader(state), "/restored", opts)
		require.NoError(t, err)
		if to == 0 {
			require.Equal(t, known, offset, "the entries after it may be cut")
		}
		require.Equal(t, want, lines(openStore(t, "/restored", memOptions(left)).Scan(Range{})))
	}
	left := mem.Exit()
	opts := RestoreOptions{Archive: []string{replicaArchive}, fs: left}
	offset, err := Restore(t.Context(), bytes.NewReader(state), "/restored", opts)
	require.NoError(t, err)
	require.Equal(t, db.log.First()-1, offset, "all that is in an archive is agreed upon")
	opts.ToOffset, opts.Archive = known+1, append(opts.Archive, storeDir+"/"+walName)
	_, err = Restore(t.Context(), bytes.NewReader(state), "/again", opts)
	require.ErrorIs(t, err, ErrOutOfRange)
}

// TestAnInstallLeavesAGapInTheArchiveThatIsAnError is of a replica whose archive goes on after it was sent a state.
func TestAnInstallLeavesAGapInTheArchiveThatIsAnError(t *testing.T) {
	mem := vfs.NewMem()
	late, ahead := archivingReplica(t, mem), openScript(t, memOptions(vfs.NewMem()))
	first, _ := stateOf(t, late)
	for range 3 {
		lengthen(t, late)
		for offset := ahead.replica.Applied() + 1; offset <= late.replica.Applied(); offset++ {
			c, err := late.replica.Log().Read(offset)
			if errors.Is(err, ErrTruncated) {
				c = Entry{Kind: kindNoOp} // What it was doesn't matter here.
			}
			_ = ahead.enter(c.Kind, c.Data, nil)
		}
	}
	db, archivedTo := late.replica.DB(), late.replica.DB().log.First()-1
	before := lines(db.Scan(Range{}))
	for range 5 {
		require.NoError(t, ahead.enter(kindNoOp, nil, nil))
	}
	put(t, ahead.replica.DB(), "sent", "")
	state, installed := stateOf(t, ahead)
	_, err := late.replica.Install(t.Context(), bytes.NewReader(state))
	require.NoError(t, err)
	for range 3 {
		lengthen(t, late)
	}
	require.NotEmpty(t, before)
	require.Greater(t, db.log.First(), installed+1)

	gap := fmt.Sprintf("offsets %d to %d", archivedTo+1, installed)
	for _, from := range []uint64{1, archivedTo, archivedTo + 1} {
		got, err := watchedFrom(t, db, from)
		require.Empty(t, got, "nothing is skipped silently")
		require.ErrorIs(t, err, ErrTruncated)
		require.ErrorContains(t, err, gap)
	}
	got, err := watchedFrom(t, db, installed+1)
	require.NoError(t, err)
	require.Len(t, got, 120)

	restore := func(state []byte, opts RestoreOptions) (uint64, error) {
		opts.fs, opts.Archive = mem.Exit(), []string{replicaArchive, storeDir + "/" + walName}
		return Restore(t.Context(), bytes.NewReader(state), "/restored", opts)
	}
	_, err = restore(first, RestoreOptions{})
	require.ErrorIs(t, err, ErrTruncated)
	require.ErrorContains(t, err, gap)
	offset, err := restore(first, RestoreOptions{ToOffset: archivedTo})
	require.NoError(t, err, "what is before the gap can be restored")
	require.Equal(t, archivedTo, offset)
	_, err = restore(first, RestoreOptions{ToOffset: installed})
	require.ErrorIs(t, err, ErrTruncated)
	offset, err = restore(state, RestoreOptions{ToOffset: installed + 7})
	require.NoError(t, err, "what is after it as well")
	require.Equal(t, installed+7, offset)
}

// TestADamagedSegmentInTheArchiveOfAReplicaIsReported flips a bit of each archived segment.
func TestADamagedSegmentInTheArchiveOfAReplicaIsReported(t *testing.T) {
	mem := vfs.NewMem()
	c := archivingReplica(t, mem)
	state, _ := stateOf(t, c)
	for range 3 {
		lengthen(t, c)
	}
	names, err := mem.List(replicaArchive)
	require.NoError(t, err)
	require.Greater(t, len(names), 3)
	for _, name := range names {
		path, left := filepath.Join(replicaArchive, name.Name), mem.Exit()
		flipBit(t, left, path, 900)
		opts := c.replica.DB().opts
		opts.fs = left
		r, err := OpenReplica(storeDir, opts, Member{testCluster, "one"}, c)
		require.NoError(t, err)
		_, err = watchedFrom(t, r.DB(), 1)
		var damage *CorruptError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, path, damage.Path)
		_, err = Restore(t.Context(), bytes.NewReader(state), "/restored", RestoreOptions{Archive: []string{replicaArchive}, fs: left})
		require.ErrorAs(t, err, &damage)
		require.Equal(t, path, damage.Path)
		require.NoError(t, r.DB().Close())
	}
}
