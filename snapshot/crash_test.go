package snapshot

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// crashSeeds returns the number of states of each random policy to examine before each call.
func crashSeeds() uint64 {
	if testing.Short() {
		return 2
	}
	return 8
}

var errDisk = errors.New("input/output error")

// eachCrash calls check with every state that a power cut could leave at this moment.
func eachCrash(mem *vfs.Mem, check func(state *vfs.Mem, seed uint64, policy vfs.Policy)) {
	for _, policy := range vfs.Policies {
		for seed := range crashSeeds() {
			check(mem.Crash(seed, policy), seed, policy)
			if !policy.Random() {
				break
			}
		}
	}
}

// TestAfterACrashASnapshotIsWholeOrNotThere cuts the power before each call that changes the disk, while a second snapshot is
// written and the first one removed, and again while the leftovers of that are cleaned up.
func TestAfterACrashASnapshotIsWholeOrNotThere(t *testing.T) {
	entries := map[uint64][]Entry{5: compressible(20), 6: compressible(40)}
	mem := vfs.NewMem()
	write(t, mem, 5, entries[5])
	written, removing := false, false
	states, listed := 0, 0
	look := func(state *vfs.Mem, seed uint64, policy vfs.Policy) {
		states++
		_, err := RemoveTemporary(state, testDir)
		require.NoError(t, err)
		found := map[uint64]bool{}
		for _, offset := range offsets(t, state) {
			found[offset] = true
			requireWhole(t, state, offset, entries[offset])
		}
		require.Len(t, state.Names(), len(found), "a temporary file is left")
		require.True(t, found[5] || removing, "seed %d, %v: the first snapshot is gone", seed, policy)
		require.True(t, found[6] || !written, "seed %d, %v: the second snapshot is gone", seed, policy)
		if found[6] {
			listed++
		}
	}
	twice := func(state *vfs.Mem, seed uint64, policy vfs.Policy) {
		if len(state.Names()) > len(offsets(t, state)) { // There is something to clean up.
			again := state.Clone()
			again.SetHook(func(call vfs.Call) error {
				if call.Op.Changes() {
					eachCrash(again, look)
				}
				return nil
			})
			_, err := RemoveTemporary(again, testDir)
			require.NoError(t, err)
			again.SetHook(nil)
			eachCrash(again, look)
		}
		look(state, seed, policy)
		if !written {
			write(t, state, 7, entries[6])
		}
	}
	mem.SetHook(func(call vfs.Call) error {
		if call.Op.Changes() {
			eachCrash(mem, twice)
		}
		return nil
	})
	write(t, mem, 6, entries[6])
	written = true
	eachCrash(mem, twice)
	removing = true
	require.NoError(t, Remove(mem, testDir, 5))
	mem.SetHook(nil)
	require.Equal(t, []uint64{6}, offsets(t, mem.Crash(0, vfs.KeepNone)))
	t.Logf("%d states, %d of them with the second snapshot", states, listed)
	require.Greater(t, listed, 20)
	require.True(t, testing.Short() || states > 10_000)
}

// TestAPowerCutAfterAFailedSyncTakesNothingThatWasThere fails each sync once. Bytes that can be read after a failed sync may
// never reach the disk.
func TestAPowerCutAfterAFailedSyncTakesNothingThatWasThere(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpSync, vfs.OpSyncDir} {
		for n := 1; ; n++ {
			mem := vfs.NewMem()
			write(t, mem, 5, compressible(20))
			mem.SetHook(vfs.FailNth(op, n, errDisk))
			_, _, err := Write(t.Context(), mem, testDir, testHeader(6), Options{BlockSize: 300}, all(compressible(40)))
			mem.SetHook(nil)
			if err == nil {
				break
			}
			eachCrash(mem, func(state *vfs.Mem, _ uint64, _ vfs.Policy) {
				for _, offset := range offsets(t, state) {
					requireWhole(t, state, offset, map[uint64][]Entry{5: compressible(20), 6: compressible(40)}[offset])
				}
				requireWhole(t, state, 5, compressible(20))
			})
		}
	}
}
