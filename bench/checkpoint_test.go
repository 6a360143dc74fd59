package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestStoresAreOpenedFromWhatTheWorkloadSays(t *testing.T) {
	for _, test := range []struct {
		workload         string
		loaded, replayed int
	}{
		{"W7/snapshot", 300, 0},
		{"W7/both", 150, 150},
		{"W7/clean", 0, 300},
		{"W8/start", 300, 0},
	} {
		t.Run(test.workload, func(t *testing.T) {
			spec := Spec{Workload: test.workload + "/goroutines=1", Peer: walnutName, Dir: t.TempDir(), Pairs: 300}
			r, err := newRun(spec)
			require.NoError(t, err)
			require.NoError(t, r.workload.prepare(r))
			db, err := kv.Open(spec.Dir, kv.Options{ReadOnly: true})
			require.NoError(t, err)
			require.Equal(t, test.loaded, db.Recovery().Loaded)
			require.EqualValues(t, test.replayed, db.Recovery().Replayed)
			require.NoError(t, db.Close())
			m, err := r.measure()
			require.NoError(t, err)
			requireFigure(t, m)
			require.GreaterOrEqual(t, m.extra("peak resident / live heap"), m.extra("peak heap / live heap"))
			require.Positive(t, m.extra("peak heap / live heap"))
		})
	}
}

// TestPeersDoOnDemandWhatTheyAreNamedFor also holds that a checkpoint and a backup are no less than the data.
func TestPeersDoOnDemandWhatTheyAreNamedFor(t *testing.T) {
	eachStore(t, func(t *testing.T, open func(writers int) Store) {
		store := open(1)
		name := strings.Split(t.Name(), "/")[1]
		exercise(t, store)
		checkpointer, can := store.(Checkpointer)
		require.Equal(t, slices.Contains(checkpointers, name), can)
		if can {
			require.NoError(t, checkpointer.Checkpoint())
			requireExercised(t, store)
		}
		backuper, can := store.(Backuper)
		require.Equal(t, slices.Contains(backupers, name), can)
		if can {
			var backup bytes.Buffer
			require.NoError(t, backuper.Backup(&backup))
			require.Contains(t, backup.String(), "three and more")
		}
		require.NoError(t, store.Close())
	})
}

func TestTailsTellTheCheckpointInTheirWindow(t *testing.T) {
	for _, mode := range []string{"relaxed", "durable"} {
		m := measured(t, "W9/checkpoint/"+mode+"/goroutines=16", 300*time.Millisecond)
		require.Positive(t, m.extra("checkpoint s"))
		require.Positive(t, m.extra("longest clone µs"))
		require.Positive(t, m.Max)
		require.Empty(t, measured(t, "W9/plain/"+mode+"/goroutines=16", 100*time.Millisecond).More)
	}
}

func TestBackupsTellWhatTheyCostAWriter(t *testing.T) {
	m := measured(t, "W10/backup/goroutines=1", time.Minute)
	for _, name := range []string{"file MB", "s beside a writer", "its puts/s", "its worst put ms"} {
		require.Positive(t, m.extra(name), name)
	}
}

func TestPeaksAreOfWhatRanAlone(t *testing.T) {
	var kept []byte
	p, err := whileRunning(func() error {
		kept = make([]byte, 64<<20)
		for i := range kept {
			kept[i] = byte(i)
		}
		time.Sleep(20 * time.Millisecond)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, p.heap, int64(len(kept)))
	kept = nil
	after, err := whileRunning(func() error { return nil })
	require.NoError(t, err)
	require.Less(t, after.heap, p.heap-32<<20)
	if p.resident > 0 {
		require.Greater(t, p.resident, int64(64<<20))
		require.Less(t, after.resident, p.resident-32<<20, "the most is counted anew")
	}
	require.Nil(t, kept)
}
