package kv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/crashtest"
	"github.com/walnutkv/walnut/internal/vfs"
)

// ruin is a store of 200 commits in small segments that a test damages. Commit I puts I under k and under kI. It has snapshots as of
// some commits, and is closed.
type ruin struct {
	*testing.T
	mem    *vfs.Mem
	stores []string // The log's files.
}

const ruinCommits = 200

func newRuin(t *testing.T, snapshots ...uint64) *ruin {
	r := &ruin{T: t, mem: vfs.NewMem()}
	opts := memOptions(r.mem)
	opts.CheckpointFactor, opts.SnapshotsKept = -1, 100
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	for i := uint64(1); i <= ruinCommits; i++ {
		var batch Batch
		batch.Put([]byte("k"), fmt.Append(nil, i))
		batch.Put(fmt.Appendf(nil, "k%d", i), bytes.Repeat(fmt.Append(nil, i, " "), 8))
		_, err := db.Apply(&batch)
		require.NoError(t, err)
		if slices.Contains(snapshots, i) {
			_, err := db.Checkpoint(t.Context())
			require.NoError(t, err)
		}
	}
	require.NoError(t, db.Close())
	r.list()
	return r
}

// list lists the log's files.
func (r *ruin) list() {
	entries, err := r.mem.List(filepath.Join(storeDir, walName))
	require.NoError(r, err)
	r.stores = nil
	for _, e := range entries {
		if filepath.Ext(e.Name) == ".store" {
			r.stores = append(r.stores, filepath.Join(storeDir, walName, e.Name))
		}
	}
}

func (r *ruin) opts() Options { return memOptions(r.mem) }

// change changes a file.
func (r *ruin) change(path string, change func(data []byte) []byte) {
	data, err := r.mem.ReadFile(path)
	require.NoError(r, err)
	require.NoError(r, r.mem.WriteFile(path, change(data)))
}

// at returns the file of the log that holds a commit's value, and where.
func (r *ruin) at(commit int) (path string, position int) {
	want := bytes.Repeat(fmt.Append(nil, commit, " "), 8)
	for _, path := range r.stores {
		data, err := r.mem.ReadFile(path)
		require.NoError(r, err)
		if position := bytes.Index(data, want); position >= 0 {
			return path, position
		}
	}
	r.Fatalf("commit %d is nowhere", commit)
	return "", 0
}

func (r *ruin) snapshot(offset uint64) string {
	return filepath.Join(storeDir, snapshotName, fmt.Sprintf("%020d.snap", offset))
}

// zero damages a commit beyond what a checksum can mend.
func (r *ruin) zero(commit int) {
	path, position := r.at(commit)
	r.change(path, func(data []byte) []byte { clear(data[position : position+16]); return data })
}

// zeroHead zeroes the header of a segment.
func (r *ruin) zeroHead(i int) {
	path, _ := r.segment(i)
	r.change(path, func(data []byte) []byte { clear(data[:80]); return data })
}

func (r *ruin) flip(path string, position int) {
	r.change(path, func(data []byte) []byte { data[(position+len(data))%len(data)] ^= 4; return data })
}

func (r *ruin) swap(a, b string) {
	first, err := r.mem.ReadFile(a)
	require.NoError(r, err)
	second, err := r.mem.ReadFile(b)
	require.NoError(r, err)
	require.NoError(r, r.mem.WriteFile(a, second))
	require.NoError(r, r.mem.WriteFile(b, first))
}

func (r *ruin) remove(path string) { require.NoError(r, r.mem.Remove(path)) }

// last returns the path of the last store, and the number of the first commit in it.
func (r *ruin) segment(i int) (path string, base int) {
	path = r.stores[(i+len(r.stores))%len(r.stores)]
	_, err := fmt.Sscanf(filepath.Base(path), "%d.store", &base)
	require.NoError(r, err)
	return path, base
}

// requireState requires that a store opens, shows the state after a commit, and takes another one.
func requireState(t *testing.T, opts Options, commit uint64) {
	t.Helper()
	requireSound(t, storeDir, opts)
	opts.CheckpointFactor = -1
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.Equal(t, commit, db.Offset())
	value, err := db.Get([]byte("k"))
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(commit), string(value))
	require.Equal(t, int(commit)+1, counted(t, db, Range{}))
	require.Equal(t, commit+1, put(t, db, "k", "after"))
}

// ruins are the kinds of damage, and what is left after a repair.
var ruins = []struct {
	name      string
	snapshots []uint64
	damage    func(r *ruin)
	want      uint64 // The last commit that is left; ruinCommits where nothing is lost.
	sound     bool   // It is no damage: opening mends it.
	why       string // Why only a restore helps.
	history   bool   // Commits can't be read one by one any more.
}{
	{name: "nothing is wrong", damage: func(r *ruin) {}, sound: true, want: ruinCommits},
	{name: "64 random bytes at the end are a torn tail", sound: true, want: ruinCommits, damage: func(r *ruin) {
		path, _ := r.segment(-1)
		r.change(path, func(data []byte) []byte { return append(data, bytes.Repeat([]byte{0xa5, 0x17, 1, 0x80}, 16)...) })
	}},
	{name: "4 KiB of zeros at the end are nothing", sound: true, want: ruinCommits, damage: func(r *ruin) {
		path, _ := r.segment(-1)
		r.change(path, func(data []byte) []byte { return append(data, make([]byte, 4096)...) })
	}},
	{name: "a missing index is made again", sound: true, want: ruinCommits, damage: func(r *ruin) {
		path, _ := r.segment(0)
		r.remove(path[:len(path)-len("store")] + "index")
	}},
	{name: "a LOCK that is left over is none", sound: true, want: ruinCommits, damage: func(r *ruin) {
		require.NoError(r, r.mem.WriteFile(filepath.Join(storeDir, lockName), []byte("4711\n")))
	}},
	{name: "one flipped bit in a value is turned back", want: ruinCommits, damage: func(r *ruin) { r.flip(r.at(70)) }},
	{name: "one flipped bit in a frame's header is turned back", want: ruinCommits, damage: func(r *ruin) {
		path, _ := r.segment(1)
		r.flip(path, 80+5)
	}},
	{name: "one flipped bit in a store's header is turned back", want: ruinCommits, damage: func(r *ruin) {
		path, _ := r.segment(1)
		r.flip(path, 33)
	}},
	{name: "a seal that was zeroed is written again", want: ruinCommits, damage: func(r *ruin) {
		path, _ := r.segment(1)
		r.change(path, func(data []byte) []byte { clear(data[len(data)-32 : len(data)-16]); return data })
	}},
	{name: "two files that were swapped get their names again", want: ruinCommits, damage: func(r *ruin) { r.swap(r.stores[1], r.stores[2]) }},
	{name: "the last two files that were swapped do too", want: ruinCommits, damage: func(r *ruin) {
		r.swap(r.stores[len(r.stores)-2], r.stores[len(r.stores)-1])
	}},
	{name: "16 zeroed bytes in the middle cut the log before them", want: 69, damage: func(r *ruin) { r.zero(70) }},
	{name: "16 zeroed bytes in the last segment do too", want: 198, damage: func(r *ruin) { r.zero(199) }},
	{
		name: "16 zeroed bytes before a snapshot lose history alone", snapshots: []uint64{100}, want: ruinCommits, history: true,
		damage: func(r *ruin) { r.zero(70) },
	},
	{name: "16 zeroed bytes after a snapshot cut the log", snapshots: []uint64{50}, want: 69, damage: func(r *ruin) { r.zero(70) }},
	{name: "two damaged places, the snapshot between them", snapshots: []uint64{100}, want: 149, history: true, damage: func(r *ruin) {
		r.zero(70)
		r.zero(150)
	}},
	{
		name: "a damaged place right before the snapshot, in its segment", snapshots: []uint64{100}, want: ruinCommits, history: true,
		damage: func(r *ruin) { r.zero(100) },
	},
	{
		name: "a damaged place in the last segment before the snapshot", snapshots: []uint64{199}, want: ruinCommits, history: true,
		damage: func(r *ruin) { r.zero(199) },
	},
	{name: "7 bytes less of the room after a clean close are nothing", sound: true, want: ruinCommits, damage: func(r *ruin) {
		path, _ := r.segment(-1)
		r.change(path, func(data []byte) []byte { return data[:len(data)-7] })
	}},
	{name: "7 bytes less of the last commit lose it", want: 199, damage: func(r *ruin) {
		path, _ := r.segment(-1)
		r.change(path, func(data []byte) []byte { return data[:len(data)-96-7] })
	}},
	{name: "7 bytes less of the seal after it lose nothing", want: ruinCommits, damage: func(r *ruin) {
		path, _ := r.segment(-1)
		r.change(path, func(data []byte) []byte { return data[:len(data)-64-7] })
	}},
	{name: "a tail cut into a commit loses it", want: 199, damage: func(r *ruin) {
		path, position := r.at(200)
		r.change(path, func(data []byte) []byte { return data[:position+3] })
	}},
	{name: "a tail cut into what a snapshot shows loses nothing", snapshots: []uint64{200}, want: 200, history: true, damage: func(r *ruin) {
		path, position := r.at(200)
		r.change(path, func(data []byte) []byte { return data[:position+3] })
	}},
	{name: "a missing segment cuts the log before it", want: 0, damage: func(r *ruin) { r.remove(r.stores[2]) }},
	{
		name: "a missing segment before a snapshot loses history alone", snapshots: []uint64{190}, want: ruinCommits, history: true,
		damage: func(r *ruin) { r.remove(r.stores[2]) },
	},
	{name: "the last segment is missing", want: 0, damage: func(r *ruin) { r.remove(r.stores[len(r.stores)-1]) }},
	{name: "a header that was zeroed is made again", want: ruinCommits, damage: func(r *ruin) { r.zeroHead(2) }},
	{name: "the first header that was zeroed is made again", want: ruinCommits, damage: func(r *ruin) { r.zeroHead(0) }},
	{name: "the last header that was zeroed is made again", want: ruinCommits, damage: func(r *ruin) { r.zeroHead(-1) }},
	{name: "the last header that was zeroed, and no index says more", want: 0, damage: func(r *ruin) {
		r.zeroHead(-1)
		path, _ := r.segment(-1)
		r.remove(path[:len(path)-len("store")] + "index")
	}},
	{name: "a header and its first commit that were zeroed cut the log before them", want: 0, damage: func(r *ruin) {
		r.change(r.stores[2], func(data []byte) []byte { clear(data[:120]); return data })
	}},
	{name: "the first segment is gone, and nothing else has its commits", why: "first commit", damage: func(r *ruin) { r.remove(r.stores[0]) }},
	{name: "the first commit is damaged, and nothing else has it", why: "first commit", damage: func(r *ruin) { r.zero(1) }},
	{
		name: "the first segment is gone, and a snapshot has its commits", snapshots: []uint64{100}, want: ruinCommits,
		damage: func(r *ruin) { r.remove(r.stores[0]) },
	},
	{name: "a damaged snapshot whose log is whole goes", snapshots: []uint64{100}, want: ruinCommits, damage: func(r *ruin) { r.flip(r.snapshot(100), 200) }},
	{name: "the newest of two snapshots is damaged", snapshots: []uint64{50, 100}, want: ruinCommits, damage: func(r *ruin) { r.flip(r.snapshot(100), 200) }},
	{name: "the log was emptied, and a snapshot is left", snapshots: []uint64{50, 120}, want: 120, damage: func(r *ruin) {
		entries, err := r.mem.List(filepath.Join(storeDir, walName))
		require.NoError(r, err)
		for _, e := range entries {
			r.remove(filepath.Join(storeDir, walName, e.Name))
		}
	}},
	{name: "the stores were removed and the indexes left", snapshots: []uint64{50, 120}, want: 120, damage: func(r *ruin) {
		for _, path := range r.stores {
			r.remove(path)
		}
	}},
	{name: "the log's directory is gone", snapshots: []uint64{120}, want: 120, damage: func(r *ruin) {
		entries, err := r.mem.List(filepath.Join(storeDir, walName))
		require.NoError(r, err)
		for _, e := range entries {
			r.remove(filepath.Join(storeDir, walName, e.Name))
		}
		r.remove(filepath.Join(storeDir, walName))
	}},
	{name: "the log was emptied, and the newest snapshot is damaged", snapshots: []uint64{50, 120}, want: 50, damage: func(r *ruin) {
		for _, path := range r.stores {
			r.remove(path)
		}
		r.flip(r.snapshot(120), 200)
	}},
}

func TestEveryDamageHasARepairOrSaysWhyNot(t *testing.T) {
	for _, c := range ruins {
		t.Run(c.name, func(t *testing.T) {
			r := newRuin(t, c.snapshots...)
			c.damage(r)
			before := contentOf(t, r.mem)
			plan, err := PlanRepair(t.Context(), storeDir, r.opts())
			require.NoError(t, err)
			require.Equal(t, before, contentOf(t, r.mem), "planning changes nothing")
			require.Equal(t, c.sound, len(plan.Damage) == 0, "%+v", plan.Damage)
			if c.why != "" {
				require.Contains(t, plan.Why, c.why)
				require.Greater(t, plan.LostReadable, uint64(100), "what can still be read is said")
				require.NotEmpty(t, plan.LostKeys)
				require.ErrorIs(t, plan.Apply(t.Context()), ErrCorrupt)
				require.Equal(t, before, contentOf(t, r.mem))
				return
			}
			require.NoError(t, plan.Apply(t.Context()))
			want := c.want
			if want == 0 {
				want = plan.Offset
				require.Less(t, want, uint64(ruinCommits))
				require.Greater(t, want, uint64(30))
			}
			if !c.sound {
				requireSays(t, plan, want)
				requireKept(t, r.mem, plan, before)
				require.Equal(t, c.history, plan.HistoryTo != 0, "%+v", plan)
			}
			requireState(t, r.opts(), want)
			again, err := PlanRepair(t.Context(), storeDir, r.opts())
			require.NoError(t, err)
			require.Empty(t, again.Damage)
		})
	}
}

// TestAPowerCutDuringARepairLeavesTheDamageOrTheRepairedStore cuts the power before each call that a repair makes. What is left is refused
// or is the repaired store, and a second repair finishes.
func TestAPowerCutDuringARepairLeavesTheDamageOrTheRepairedStore(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine does all of it, in many seconds under the race detector")
	}
	states := 0
	for i, c := range ruins {
		if c.sound || c.why != "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			r := newRuin(t, c.snapshots...)
			c.damage(r)
			opts := r.opts()
			disk := r.mem.Crash(0, vfs.KeepAll) // So that the damage is durable.
			opts.fs = disk
			plan, err := PlanRepair(t.Context(), storeDir, opts)
			require.NoError(t, err)
			dice := rand.New(rand.NewPCG(*crashtest.Seed, uint64(i)))
			disk.SetHook(func(call vfs.Call) error {
				if call.Op.Changes() {
					policy := vfs.Policies[dice.IntN(len(vfs.Policies))]
					says := fmt.Sprintf("%v before call %d, %v %s; replay: go test ./kv -run %s -crash.seed=%d", policy, call.N, call.Op, call.Name, t.Name(), *crashtest.Seed)
					states++
					requireRepairable(t, disk.Crash(dice.Uint64(), policy), plan.Offset, says)
				}
				return nil
			})
			require.NoError(t, plan.Apply(t.Context()))
			disk.SetHook(nil)
			requireRepairable(t, disk.Crash(dice.Uint64(), vfs.KeepNone), plan.Offset, "after the repair")
		})
	}
	t.Logf("%d states", states)
	require.Greater(t, states, 100)
}

// requireRepairable requires that a disk has the store as of a commit, or damage that a repair makes that of.
func requireRepairable(t *testing.T, disk *vfs.Mem, want uint64, says string) {
	t.Helper()
	opts := memOptions(disk.Clone())
	opts.CheckpointFactor = -1
	db, err := Open(storeDir, opts)
	if err == nil {
		require.Equal(t, want, db.Offset(), says)
		require.NoError(t, db.Close())
	} else {
		require.ErrorIs(t, err, ErrCorrupt, says)
	}
	opts.fs = disk
	plan, err := PlanRepair(t.Context(), storeDir, opts)
	require.NoError(t, err, says)
	require.Empty(t, plan.Why, says)
	require.NoError(t, plan.Apply(t.Context()), says)
	requireState(t, opts, want)
}

// requireSays requires that a plan named what is lost.
func requireSays(t *testing.T, plan Repair, want uint64) {
	t.Helper()
	require.Equal(t, want, plan.Offset, "%+v", plan)
	require.NotEmpty(t, plan.Steps)
	require.Equal(t, want < ruinCommits, plan.LostTo > want || plan.LostMore, "%+v", plan)
	if plan.LostReadable > 0 {
		require.NotEmpty(t, plan.LostKeys)
		require.Equal(t, "k", string(plan.LostKeys[0].Key))
	}
	for _, step := range plan.Steps {
		if step.Action == RepairCut {
			require.NotEmpty(t, step.To)
		}
	}
}

// TestADamagedSnapshotIsCopiedAsideWhereNothingCanBeLinked is about file systems without hard links.
func TestADamagedSnapshotIsCopiedAsideWhereNothingCanBeLinked(t *testing.T) {
	r := newRuin(t, 100)
	r.flip(r.snapshot(100), 200)
	before := contentOf(t, r.mem)
	r.mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpLink {
			return syscall.EPERM
		}
		return nil
	})
	plan, err := PlanRepair(t.Context(), storeDir, r.opts())
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context()))
	require.True(t, slices.ContainsFunc(plan.Steps, func(s RepairStep) bool { return s.Action == RepairSetAside }))
	requireKept(t, r.mem, plan, before)
	require.NotContains(t, r.mem.Names(), r.snapshot(100))
	requireSound(t, storeDir, r.opts())
}

// requireKept requires that everything that was cut is in the quarantine, as it was.
func requireKept(t *testing.T, mem *vfs.Mem, plan Repair, before map[string]string) {
	t.Helper()
	for _, step := range plan.Steps {
		if step.Action != RepairCut && step.Action != RepairSetAside {
			continue
		}
		kept, err := mem.ReadFile(step.To)
		require.NoError(t, err)
		require.Equal(t, before[step.Path][step.Position:step.Position+step.Bytes], string(kept))
	}
}

// contentOf returns every file, with its bytes.
func contentOf(t testing.TB, mem *vfs.Mem) map[string]string {
	t.Helper()
	content := map[string]string{}
	for _, name := range mem.Names() {
		data, err := mem.ReadFile(name)
		require.NoError(t, err)
		content[name] = string(data)
	}
	return content
}
