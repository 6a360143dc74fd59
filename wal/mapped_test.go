package wal

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestRelaxedAppendsCostNoCall(t *testing.T) {
	if !writesThroughMap {
		t.Skip("this system's fsync doesn't cover mappings")
	}
	mem := vfs.NewMem()
	opts := testOptions(mem)
	opts.Sync, opts.SegmentSize = SyncNever, 1<<20
	l := openTest(t, opts)
	writes := 0
	mem.SetHook(func(c vfs.Call) error {
		if c.Op == vfs.OpWrite {
			writes++
		}
		return nil
	})
	fill(t, l, 500)
	require.Zero(t, writes)
	requireRecords(t, l, 1, 500)
	require.NoError(t, l.Close())
}

func TestWhereNothingCanBeMappedRecordsAreWritten(t *testing.T) {
	for _, mode := range []SyncMode{SyncInterval, SyncNever} {
		mem := vfs.NewMem()
		opts := testOptions(mem)
		opts.Sync = mode
		l := openTest(t, opts)
		l.unmappable = true
		fill(t, l, 200)
		requireRecords(t, l, 1, 200)
		died := opts
		died.FS = mem.Exit()
		requireRecords(t, openTest(t, died), 1, 200)
		require.NoError(t, l.Close())
	}
}

func TestAStoreCutUnderItsMappingIsAnErrorNotADeath(t *testing.T) {
	if !writesThroughMap {
		t.Skip("this system's fsync doesn't cover mappings")
	}
	l, err := Open(t.TempDir(), Options{Sync: SyncNever})
	require.NoError(t, err)
	_, err = l.Append([]byte("before"))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(l.active.store.path, 0))
	_, err = l.Append([]byte("after"))
	require.ErrorIs(t, err, ErrFailed)
	_, err = l.Append([]byte("and again"))
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, l.Close(), ErrFailed)
}
