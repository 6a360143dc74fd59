package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/kv"
)

// fsm applies what is agreed upon to the replica. raft calls it from one goroutine.
//
// Invariant: after an entry that couldn't be applied no other one is: failed says so.
type fsm struct {
	ctx       context.Context // Done when the node is closed.
	replica   *kv.Replica
	snapshots *snapshots
	watch     *watchdog
	failed    error
	handedOn  func() uint64 // Up to which index raft has handed entries on.
	diverged  func()        // Called after an install where raft thinks of another log than the one that there is.
}

var _ raft.BatchingFSM = (*fsm)(nil)

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. The answers are errors or nil.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	for i, l := range logs {
		if err := f.apply(l); err != nil {
			answers[i] = err
		}
	}
	return answers
}

func (f *fsm) apply(l *raft.Log) error {
	if f.failed != nil {
		return f.failed
	}
	var record []byte
	if l.Type == raft.LogCommand {
		record = l.Data
	}
	err := f.replica.Apply(l.Index, record)
	if err != nil && !errors.Is(err, kv.ErrConflict) {
		f.failed = fmt.Errorf("cluster: %w", err)
		f.watch.trip(err)
	}
	return err
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.failed != nil {
		return nil, f.failed
	}
	state, err := f.replica.Snapshot()
	return &checkpoint{f, state}, err
}

// checkpoint is a snapshot that the store keeps. Its offset may be later than raft thinks: the replica may have recovered entries that raft
// has not handed on yet.
type checkpoint struct {
	fsm   *fsm
	state *kv.Snapshot
}

// Persist implements raft.FSMSnapshot.
func (c *checkpoint) Persist(into raft.SnapshotSink) error {
	into.(*sink).taken = true
	return c.fsm.snapshots.history.keep(c.fsm.ctx, c.state)
}

// Release implements raft.FSMSnapshot.
func (*checkpoint) Release() {}

// Restore implements raft.FSM: it installs the snapshot that was received last. When the node is opened nothing is restored, since the
// replica has recovered by itself. A snapshot of what is applied is refused: raft would go back to it, to its members too, and then miss the
// entries in between. See transport.answer.
func (f *fsm) Restore(state io.ReadCloser) error {
	if f.failed != nil {
		return f.failed
	}
	meta := f.snapshots.received()
	if meta == nil {
		return errors.New("cluster: no snapshot was received")
	}
	defer f.snapshots.drop() // The leader sends one that couldn't be installed again, and a full disk needs the room until then.
	if applied := f.handedOn(); meta.Index <= applied {
		return fmt.Errorf("cluster: a snapshot of entry %d was sent where %d is applied", meta.Index, applied)
	}
	_, before := f.replica.Log().Bounds()
	kept, err := f.has(meta)
	if err != nil {
		f.watch.saw(err)
		return err
	}
	if kept {
		f.replica.Log().Agree(meta.Index) // So what the log has after it stays: this node may have acknowledged it.
	}
	if err := f.snapshots.history.sent(meta); err != nil {
		return errors.Join(err, f.snapshots.history.notInstalled(meta))
	}
	offset, err := f.replica.Install(f.ctx, state)
	if err != nil && !errors.Is(err, kv.ErrFailed) { // Then the next opening finds out whether it is installed.
		err = errors.Join(err, f.snapshots.history.notInstalled(meta))
	}
	switch {
	case errors.Is(err, kv.ErrCorrupt): // It is what was sent that is damaged, and not what is here.
		return err
	case err != nil:
		f.watch.saw(err)
		return err
	case offset != meta.Index:
		err := fmt.Errorf("cluster: %w: the snapshot of entry %d is as of %d", kv.ErrMismatch, meta.Index, offset)
		return errors.Join(err, f.snapshots.history.notInstalled(meta))
	}
	f.watch.saw(nil) // There was room: no entry may follow for long that shows so.
	later, err := f.snapshots.history.installed(meta, kept)
	if later || !kept && before >= meta.Index { // raft forgets the members after a snapshot, and not the entries at its end and after it.
		f.diverged()
	}
	return err
}

// has reports whether the log has the entry that a snapshot ends with. Then all entries up to there are the same as in the snapshot, and agreed
// upon.
func (f *fsm) has(meta *raft.SnapshotMeta) (bool, error) {
	e, err := f.replica.Log().Read(meta.Index)
	switch {
	case errors.Is(err, kv.ErrTruncated) || errors.Is(err, kv.ErrOutOfRange):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("cluster: %w", err)
	}
	return e.Term == meta.Term, nil
}
