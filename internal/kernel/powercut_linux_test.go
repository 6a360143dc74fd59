package kernel

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// TestAPowerCutOnARealFileSystemLosesNothingAcknowledged cuts the power of ext4 amid writers and checkpoints, again and again: what
// it has not written yet is gone, and its journal is replayed. The kernel must not be wrong about what it has synced, nor Walnut
// about what it must sync. No seed replays a run: the instants are the scheduler's too.
func TestAPowerCutOnARealFileSystemLosesNothingAcknowledged(t *testing.T) {
	disk := newExt4(t)
	dir := filepath.Join(disk.dir, "store")
	j := newJudge(writers{Count: 4, Kept: 16, Bytes: 500})
	for round := range rounds(5, 20) {
		p := j.start(t, task{Dir: dir, SegmentSize: 64 << 10, Checkpoint: 128 << 10})
		p.until("open")
		p.steps(200)
		time.Sleep(time.Duration(rand.IntN(100_000)) * time.Microsecond)
		disk.cutPower()
		require.Regexp(t, "^kv: .*(input/output error|read-only file system)", p.until("writer 0 ended:"))
		require.Empty(t, p.until("ended"), "reads go on")
		p.kill()
		disk.mountAgain()
		steps := j.sum()
		j.require(t, dir, kv.Options{CheckpointFactor: -1})
		t.Logf("round %d: %d steps acknowledged, %d found", round+1, steps, j.sum())
	}
}
