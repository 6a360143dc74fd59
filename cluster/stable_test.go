package cluster

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv"
)

const stablePath = "CONSENSUS"

func TestWhatIsStableIsThereAfterAnOpening(t *testing.T) {
	mem := vfs.NewMem()
	s, err := openStable(mem, stablePath)
	require.NoError(t, err)
	n, err := s.GetUint64([]byte("CurrentTerm"))
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, s.SetUint64([]byte("CurrentTerm"), 7))
	require.NoError(t, s.Set([]byte("a \"key\"\n"), []byte{0, 255, '\n', '"'}))
	require.NoError(t, s.Set([]byte("empty"), nil))

	s, err = openStable(mem, stablePath)
	require.NoError(t, err)
	n, err = s.GetUint64([]byte("CurrentTerm"))
	require.NoError(t, err)
	require.EqualValues(t, 7, n)
	value, err := s.Get([]byte("a \"key\"\n"))
	require.NoError(t, err)
	require.Equal(t, []byte{0, 255, '\n', '"'}, value)
	_, err = s.GetUint64([]byte("a \"key\"\n"))
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestTheFileOfWhatIsStableIsAsDocumented(t *testing.T) {
	text := encodeStable(map[string]string{"LastVoteCand": "b@10.0.0.2:7000", "CurrentTerm": "\x00\x00\x00\x00\x00\x00\x00\a"})
	require.Equal(t, "walnut consensus 1\n\"CurrentTerm\" \"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\a\"\n"+
		"\"LastVoteCand\" \"b@10.0.0.2:7000\"\nsum d4844a73\n", string(text))
}

// TestEveryCrashKeepsEachVoteThatWasGiven cuts the power before each call that changes something, in each way.
func TestEveryCrashKeepsEachVoteThatWasGiven(t *testing.T) {
	mem := vfs.NewMem()
	s, err := openStable(mem, stablePath)
	require.NoError(t, err)
	given, states, asking := uint64(0), 0, uint64(0)
	check := func() {
		for policy := range vfs.Policy(10) {
			crashed, err := openStable(mem.Crash(uint64(states), policy), stablePath)
			require.NoError(t, err, "policy %d", policy)
			held, err := crashed.GetUint64([]byte("LastVoteTerm"))
			require.NoError(t, err)
			require.Contains(t, []uint64{given, asking}, held, "policy %d", policy)
			states++
		}
	}
	mem.SetHook(func(vfs.Call) error {
		check()
		return nil
	})
	for asking = 1; asking <= 20; asking++ {
		require.NoError(t, s.SetUint64([]byte("LastVoteTerm"), asking))
		given = asking
		check()
	}
	require.Greater(t, states, 600)
}

func TestAfterAFailedWriteNothingIsVotedOn(t *testing.T) {
	for fail := 1; ; fail++ {
		mem, calls, broken := vfs.NewMem(), 0, errors.New("disk")
		s, err := openStable(mem, stablePath)
		require.NoError(t, err)
		require.NoError(t, s.SetUint64([]byte("CurrentTerm"), 1))
		mem.SetHook(func(vfs.Call) error {
			if calls++; calls == fail {
				return broken
			}
			return nil
		})
		if err = s.SetUint64([]byte("CurrentTerm"), 2); err == nil {
			require.Greater(t, fail, 4)
			return
		}
		require.ErrorIs(t, err, broken, "call %d", fail)
		_, err = s.GetUint64([]byte("CurrentTerm"))
		require.ErrorIs(t, err, broken)
		require.Error(t, s.SetUint64([]byte("CurrentTerm"), 3))
		mem.SetHook(nil)
		s, err = openStable(mem, stablePath)
		require.NoError(t, err)
		n, err := s.GetUint64([]byte("CurrentTerm"))
		require.NoError(t, err)
		require.Contains(t, []uint64{1, 2}, n)
	}
}

// TestAFullDiskChangesNothingThatIsStable lets each call find no room: up to the renaming that is known to change nothing.
func TestAFullDiskChangesNothingThatIsStable(t *testing.T) {
	refused, broken := 0, 0
	for fail := 1; ; fail++ {
		mem, calls := vfs.NewMem(), 0
		s, err := openStable(mem, stablePath)
		require.NoError(t, err)
		require.NoError(t, s.SetUint64([]byte(termKey), 1))
		var seen, tripped []error
		s.saw, s.trip = func(err error) { seen = append(seen, err) }, func(err error) { tripped = append(tripped, err) }
		var at vfs.Op
		mem.SetHook(func(c vfs.Call) error {
			if calls++; calls == fail {
				at = c.Op
				return syscall.ENOSPC
			}
			return nil
		})
		err = s.SetUint64([]byte(termKey), 2)
		mem.SetHook(nil)
		switch {
		case err == nil:
			require.Greater(t, refused, 2)
			require.Equal(t, 2, broken)
			return
		case at == vfs.OpRename || at == vfs.OpSyncDir:
			broken++
			require.Len(t, tripped, 1)
			require.NotErrorIs(t, err, kv.ErrNoSpace)
			require.Error(t, s.SetUint64([]byte(termKey), 3))
			continue
		}
		refused++
		require.ErrorIs(t, err, kv.ErrNoSpace, "call %d", fail)
		held, err := s.GetUint64([]byte(termKey))
		require.NoError(t, err)
		require.EqualValues(t, 1, held)
		require.NoError(t, s.SetUint64([]byte(termKey), 3))
		require.Len(t, seen, 2)
		require.ErrorIs(t, seen[0], kv.ErrNoSpace)
		require.NoError(t, seen[1])
		require.Empty(t, tripped)
		s, err = openStable(mem, stablePath)
		require.NoError(t, err)
		held, err = s.GetUint64([]byte(termKey))
		require.NoError(t, err)
		require.EqualValues(t, 3, held)
	}
}

func TestADamagedStableFileIsRefused(t *testing.T) {
	text := encodeStable(map[string]string{"CurrentTerm": "\x00\x00\x00\x00\x00\x00\x00\a", "x": "y"})
	for i := range text {
		for bit := range 8 {
			damaged := append([]byte{}, text...)
			damaged[i] ^= 1 << bit
			_, err := parseStable(damaged)
			require.ErrorIs(t, err, ErrCorrupt, "bit %d of byte %d", bit, i)
		}
		_, err := parseStable(text[:i])
		require.ErrorIs(t, err, ErrCorrupt, fmt.Sprint("cut at ", i))
	}
}
