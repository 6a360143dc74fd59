package cluster

import (
	"runtime"

	"github.com/hashicorp/raft"
)

// terms is the stable file as raft gets it. raft panics where its term can't be saved: instead the watchdog is called, which ends the run,
// and the goroutine, which is one of raft's or newRaft's, ends before the others. It is called on a full disk, too: raft doesn't try again.
type terms struct {
	*stable
	cluster *Cluster
}

func (c *Cluster) termStore() raft.StableStore { return terms{c.stable, c} }

// SetUint64 implements raft.StableStore.
func (t terms) SetUint64(key []byte, value uint64) error {
	if err := t.stable.SetUint64(key, value); err != nil {
		t.cluster.watch.trip(err)
		runtime.Goexit()
	}
	return nil
}

// Set implements raft.StableStore.
func (t terms) Set(key, value []byte) error {
	err := t.stable.Set(key, value)
	if err != nil {
		t.cluster.watch.trip(err)
	}
	return err
}
