package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// stateOf returns what a replica's Backup writes.
func stateOf(t *testing.T, c *script) (state []byte, offset uint64) {
	t.Helper()
	var out bytes.Buffer
	offset, err := c.replica.DB().Backup(t.Context(), &out)
	require.NoError(t, err)
	return out.Bytes(), offset
}

// twoReplicas returns one that has ten commits, and one that has three others, of which the last may be cut.
func twoReplicas(t *testing.T) (ahead, late *script, mem *vfs.Mem) {
	t.Helper()
	mem = vfs.NewMem()
	ahead, late = openScript(t, memOptions(vfs.NewMem())), openScript(t, memOptions(mem))
	for i := range 10 {
		put(t, ahead.replica.DB(), "key"+strconv.Itoa(i), "agreed")
	}
	require.NoError(t, late.replica.Log().Append(0, []Entry{
		{Offset: 1, Data: foreign(0, "key0", "agreed")},
		{Offset: 2, Data: foreign(1, "never", "")},
	}))
	require.NoError(t, late.replica.Apply(1, foreign(0, "key0", "agreed")))
	return ahead, late, mem
}

func TestAnInstallTakesTheStateOfAnotherNode(t *testing.T) {
	ahead, late, mem := twoReplicas(t)
	require.NoError(t, ahead.enter(kindNoOp, nil, nil))
	view, err := late.replica.DB().ReadView()
	require.NoError(t, err)
	defer view.Close()
	state, offset := stateOf(t, ahead)
	require.EqualValues(t, 11, offset)

	got, err := late.replica.Install(t.Context(), bytes.NewReader(state))
	require.NoError(t, err)
	require.Equal(t, offset, got)
	require.Equal(t, offset, late.replica.Applied())
	require.Equal(t, []string{"key0=agreed"}, lines(view.Scan(Range{})), "a view goes on with what it sees")
	require.Equal(t, lines(ahead.replica.DB().Scan(Range{})), lines(late.replica.DB().Scan(Range{})))
	first, last := late.replica.Log().Bounds()
	require.Equal(t, []uint64{12, 11}, []uint64{first, last}, "entry 2 was never agreed upon")
	require.NotContains(t, mem.Names(), filepath.Join(storeDir, installingName))
	_, err = late.replica.DB().At(t.Context(), 5)
	require.ErrorIs(t, err, ErrTruncated)

	for _, c := range []*script{ahead, late} { // The rule goes on where the state ends: with commit 10, not with the no-op.
		require.ErrorIs(t, c.agree(foreign(11, "refused", "")), ErrConflict)
		require.NoError(t, c.agree(foreign(10, "accepted", "")))
	}
	require.Equal(t, lines(ahead.replica.DB().Scan(Range{})), lines(late.replica.DB().Scan(Range{})))
}

// TestAnInstallThatDiedWithADamagedSnapshotIsRefused takes every state between the snapshot's name and the end of an install, and damages the
// snapshot. The log is worthless by then, so a replica that opened would have forgotten what it was sent.
func TestAnInstallThatDiedWithADamagedSnapshotIsRefused(t *testing.T) {
	ahead, late, mem := twoReplicas(t)
	state, offset := stateOf(t, ahead)
	var died []*vfs.Mem
	mem.SetHook(func(c vfs.Call) error {
		if c.Op.Changes() && slices.Contains(mem.Names(), snapshotPath(offset)) {
			died = append(died, mem.Exit())
		}
		return nil
	})
	_, err := late.replica.Install(t.Context(), bytes.NewReader(state))
	require.NoError(t, err)
	mem.SetHook(nil)
	require.NotEmpty(t, died)
	for i, mem := range died {
		flipBit(t, mem, snapshotPath(offset), 100)
		for range 2 { // The first refusal must not have made it something that opens.
			_, err := OpenReplica(storeDir, memOptions(mem), Member{Cluster: testCluster, Node: "one"}, &seat{})
			require.ErrorIs(t, err, ErrCorrupt, "state %d of %d", i, len(died))
			require.ErrorContains(t, err, filepath.Base(snapshotPath(offset)))
		}
	}
}

// TestAnInstallOfOtherPairsThanTheStateSaysIsRefused gives a state another checksum of its pairs, with all others right.
func TestAnInstallOfOtherPairsThanTheStateSaysIsRefused(t *testing.T) {
	ahead, late, _ := twoReplicas(t)
	state, offset := stateOf(t, ahead)
	_, err := late.replica.Install(t.Context(), bytes.NewReader(withOtherSum(state)))
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "the pairs' checksum is")
	require.EqualValues(t, 1, late.replica.Applied())
	require.Equal(t, []string{"key0=agreed"}, lines(late.replica.DB().Scan(Range{})))
	_, err = late.replica.Install(t.Context(), bytes.NewReader(state))
	require.NoError(t, err)
	require.Equal(t, offset, late.replica.Applied())
}

// TestInstallsLeaveNoMoreSnapshotsThanAreKept: what they skip is in no log, so it makes no checkpoint due, which would remove the older ones.
func TestInstallsLeaveNoMoreSnapshotsThanAreKept(t *testing.T) {
	for _, kept := range []int{1, 2, 3} {
		mem := vfs.NewMem()
		opts := memOptions(mem)
		opts.SnapshotsKept = kept
		ahead, late := openScript(t, memOptions(vfs.NewMem())), openScript(t, opts)
		for i := range 6 {
			put(t, ahead.replica.DB(), "key", strconv.Itoa(i))
			state, offset := stateOf(t, ahead)
			_, err := late.replica.Install(t.Context(), bytes.NewReader(state))
			require.NoError(t, err)
			places, err := late.replica.DB().snapshots.list()
			require.NoError(t, err)
			require.Len(t, places, min(i+1, kept))
			require.Equal(t, offset, places[0].Offset)
		}
		state, _ := stateOf(t, late)
		require.NoError(t, late.replica.DB().Close())
		again, _ := stateOf(t, openScript(t, opts))
		require.Equal(t, state, again)
	}
}

func TestAnInstallOfWhatIsKnownChangesNothing(t *testing.T) {
	ahead, late, _ := twoReplicas(t)
	state, _ := stateOf(t, late)
	offset, err := ahead.replica.Install(t.Context(), bytes.NewReader(state))
	require.NoError(t, err)
	require.EqualValues(t, 1, offset)
	require.EqualValues(t, 10, ahead.replica.Applied())
	first, last := ahead.replica.Log().Bounds()
	require.Equal(t, []uint64{1, 10}, []uint64{first, last})
}

func TestAnInstallKeepsALogThatIsAgreedUponUpToThere(t *testing.T) {
	ahead, late, _ := twoReplicas(t)
	state, offset := stateOf(t, ahead)
	var entries []Entry
	for at := uint64(2); at <= 10; at++ {
		e, err := ahead.replica.Log().Read(at)
		require.NoError(t, err)
		entries = append(entries, e)
	}
	entries = append(entries, Entry{Offset: 11, Data: foreign(10, "acknowledged", "")})
	require.NoError(t, late.replica.Log().DropBack(1))
	require.NoError(t, late.replica.Log().Append(10, entries))
	_, err := late.replica.Install(t.Context(), bytes.NewReader(state))
	require.NoError(t, err)
	require.Equal(t, offset, late.replica.Applied())
	e, err := late.replica.Log().Read(11)
	require.NoError(t, err, "it may count for agreement")
	require.NoError(t, late.replica.Apply(11, e.Data))
	has, err := late.replica.DB().Has([]byte("acknowledged"))
	require.NoError(t, err)
	require.True(t, has)
}

func TestAnInstallRefusesWhatIsNoStateOfTheCluster(t *testing.T) {
	ahead, late, _ := twoReplicas(t)
	sound, _ := stateOf(t, ahead)
	db, _ := openMem(t)
	put(t, db, "key", "value")
	var plain, increment bytes.Buffer
	_, err := db.Backup(t.Context(), &plain)
	require.NoError(t, err)
	_, err = ahead.replica.DB().BackupSince(t.Context(), &increment, 3)
	require.NoError(t, err)
	other, err := OpenReplica(storeDir, memOptions(vfs.NewMem()), Member{[16]byte{9}, "one"}, ahead)
	require.NoError(t, err)
	require.NoError(t, other.Log().Append(0, []Entry{{Offset: 1, Kind: kindNoOp}, {Offset: 2, Kind: kindNoOp}}))
	require.NoError(t, other.Apply(2, nil))
	var foreign bytes.Buffer
	_, err = other.DB().Backup(t.Context(), &foreign)
	require.NoError(t, errors.Join(err, other.DB().Close()))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		sentence string
		ctx      context.Context
		state    []byte
		want     error
	}{
		{"a backup of a store that is no replica", t.Context(), plain.Bytes(), ErrMismatch},
		{"an increment", t.Context(), increment.Bytes(), ErrMismatch},
		{"a state of another cluster", t.Context(), foreign.Bytes(), ErrMismatch},
		{"nothing", t.Context(), nil, ErrCorrupt},
		{"a state that is cut", t.Context(), sound[:len(sound)-1], ErrCorrupt},
		{"a state with a flipped bit", t.Context(), flipped(sound, len(sound)/2), ErrCorrupt},
		{"a context that has ended", over, sound, context.Canceled},
	} {
		_, err := late.replica.Install(c.ctx, bytes.NewReader(c.state))
		require.ErrorIs(t, err, c.want, c.sentence)
		require.EqualValues(t, 1, late.replica.Applied(), c.sentence)
		_, last := late.replica.Log().Bounds()
		require.EqualValues(t, 2, last, c.sentence)
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// TestAnInstallThatFailsChangesNothingOrFailsTheReplica fails each call in turn that changes something.
func TestAnInstallThatFailsChangesNothingOrFailsTheReplica(t *testing.T) {
	ahead := openScript(t, memOptions(vfs.NewMem()))
	for i := range 10 {
		put(t, ahead.replica.DB(), "key"+strconv.Itoa(i), "agreed")
	}
	state, _ := stateOf(t, ahead)
	for call, over := 0, false; !over; call++ {
		mem := vfs.NewMem()
		opts := memOptions(mem)
		late, err := OpenReplica(storeDir, opts, Member{testCluster, "one"}, ahead)
		require.NoError(t, err)
		require.NoError(t, late.Log().Append(0, []Entry{{Offset: 1, Data: foreign(0, "old", "")}}))
		require.NoError(t, late.Apply(1, foreign(0, "old", "")))
		seen := 0
		mem.SetHook(func(c vfs.Call) error {
			if !c.Op.Changes() {
				return nil
			}
			if seen++; seen == call+1 {
				return &os.PathError{Op: c.Op.String(), Path: c.Name, Err: syscall.EIO}
			}
			return nil
		})
		_, installErr := late.Install(t.Context(), bytes.NewReader(state))
		mem.SetHook(nil)
		over = seen <= call
		appendErr := late.Log().Append(0, []Entry{{Offset: late.Applied() + 1, Kind: kindNoOp}})
		closeErr := late.DB().Close()
		at := fmt.Sprintf("call %d: %v; then %v", call, installErr, appendErr)
		late, err = OpenReplica(storeDir, opts, Member{testCluster, "one"}, ahead)
		require.NoError(t, err, at)
		switch shown := lines(late.DB().Scan(Range{})); {
		case installErr == nil:
			require.Len(t, shown, 10, at)
		case errors.Is(appendErr, ErrFailed):
			require.Error(t, closeErr, at)
			require.Contains(t, []int{0, 1, 10}, len(shown), at)
		default:
			require.NoError(t, appendErr, at)
			_, last := late.Log().Bounds()
			require.EqualValues(t, 2, last, "%s: the entry after the install that was refused", at)
		}
		require.NoError(t, late.DB().Close(), at)
		requireSound(t, storeDir, opts)
	}
}

func TestTheFilesOfTheFormatPageAreWhatIsWritten(t *testing.T) {
	page, err := os.ReadFile("../docs/format.md")
	require.NoError(t, err)
	member := Member{Cluster: testCluster, Node: "one"}
	for _, text := range [][]byte{member.encode(), sealed(fmt.Sprintf(installingLines, 42))} {
		shown := "\n    " + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    ") + "\n"
		require.Contains(t, string(page), shown)
	}
}

func TestADamagedMarkOfAnInstallIsRefused(t *testing.T) {
	mem, own := vfs.NewMem(), Member{Cluster: testCluster, Node: "one"}
	require.NoError(t, openMember(mem, own))
	path := filepath.Join(storeDir, installingName)
	require.NoError(t, mem.WriteFile(path, sealed(fmt.Sprintf(installingLines, 42))))
	opts := memOptions(mem)
	opts.ReadOnly = true
	_, err := Open(storeDir, opts)
	require.ErrorIs(t, err, ErrReplica, "what a reader would show is not known")
	require.NoError(t, openMember(mem, own), "its snapshot isn't there, so nothing has happened")
	require.NotContains(t, mem.Names(), path)

	require.NoError(t, mem.WriteFile(path, []byte("offset 42")))
	require.ErrorIs(t, openMember(mem, own), ErrCorrupt)
	require.NoError(t, mem.WriteFile(path, sealed("walnut install 2\n")))
	require.ErrorIs(t, openMember(mem, own), ErrVersion)
}

func TestABackupOfAReplicaIsRestoredAsAStore(t *testing.T) {
	ahead, _, _ := twoReplicas(t)
	require.NoError(t, ahead.enter(kindNoOp, nil, nil))
	state, from := stateOf(t, ahead)
	require.ErrorIs(t, ahead.agree(foreign(3, "refused", "")), ErrConflict)
	put(t, ahead.replica.DB(), "later", "yes")
	var increment bytes.Buffer
	_, err := ahead.replica.DB().BackupSince(t.Context(), &increment, from)
	require.NoError(t, err)

	mem := vfs.NewMem()
	_, err = Restore(t.Context(), bytes.NewReader(state), storeDir, RestoreOptions{Increments: []io.Reader{&increment}, fs: mem})
	require.NoError(t, err)
	db := openStore(t, storeDir, memOptions(mem))
	require.Equal(t, lines(ahead.replica.DB().Scan(Range{})), lines(db.Scan(Range{})))
	put(t, db, "it", "goes on")
}

func TestASnapshotOfAReplicaStaysAsItIs(t *testing.T) {
	mem := vfs.NewMem()
	c := openScript(t, memOptions(mem))
	put(t, c.replica.DB(), "a", "1")
	pinned, err := c.replica.Snapshot()
	require.NoError(t, err)
	put(t, c.replica.DB(), "b", "2")
	require.EqualValues(t, 1, pinned.Offset())
	var out bytes.Buffer
	written, err := pinned.WriteTo(&out)
	require.NoError(t, err)
	require.EqualValues(t, out.Len(), written)
	_, late, _ := twoReplicas(t)
	offset, err := late.replica.Install(t.Context(), &out)
	require.NoError(t, err)
	require.EqualValues(t, 1, offset)

	require.NoError(t, pinned.Keep(t.Context()))
	files, err := Snapshots(storeDir, memOptions(mem))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.EqualValues(t, 1, files[0].Offset)
	require.NoError(t, pinned.Keep(t.Context()), "it is there")
	_, err = c.replica.DB().Checkpoint(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, pinned.Keep(t.Context()), ErrTruncated, "the log may begin after it")
}

// TestAnInstallThatMayComeBackIsAFailure: the snapshot was made, and can't be removed again. The next start may finish the install.
func TestAnInstallThatMayComeBackIsAFailure(t *testing.T) {
	ahead := openScript(t, memOptions(vfs.NewMem()))
	for i := range 10 {
		put(t, ahead.replica.DB(), fmt.Sprint("key", i), "agreed")
	}
	state, _ := stateOf(t, ahead)
	mem := vfs.NewMem()
	late, err := OpenReplica(storeDir, memOptions(mem), Member{testCluster, "one"}, ahead)
	require.NoError(t, err)
	require.NoError(t, late.Log().Append(0, []Entry{{Offset: 1, Data: foreign(0, "old", "")}}))
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpSyncDir && strings.Contains(c.Name, "snapshot") || c.Op == vfs.OpRemove {
			return errDisk
		}
		return nil
	})
	_, err = late.Install(t.Context(), bytes.NewReader(state))
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, err, errDisk)
	mem.SetHook(nil)
	require.Error(t, late.DB().Close())
}
