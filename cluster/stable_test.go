package cluster

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
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
