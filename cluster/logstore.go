package cluster

import (
	"errors"
	"runtime"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/kv"
)

// entryLog is what a logStore needs of kv.ReplicaLog.
type entryLog interface {
	Bounds() (first, last uint64)
	Read(offset uint64) (kv.Entry, error)
	Append(committed uint64, entries []kv.Entry) error
	DropFront(first uint64) error
	DropBack(last uint64) error
}

// logStore is the store's log as the consensus sees it.
//
// raft panics where an entry that it needs can't be read. What can't be read once the node runs ends the calling goroutine instead, which
// is one of raft's, after the watchdog was called, which ends the others.
type logStore struct {
	log       entryLog
	history   *history
	watch     *watchdog
	committed func() uint64 // Up to which index entries are known to be agreed upon.
	applied   func() uint64
	running   func() bool
}

var (
	_ raft.LogStore          = (*logStore)(nil)
	_ raft.MonotonicLogStore = (*logStore)(nil)
)

// IsMonotonic implements raft.MonotonicLogStore: there are no gaps.
func (*logStore) IsMonotonic() bool { return true }

// FirstIndex implements raft.LogStore.
func (s *logStore) FirstIndex() (uint64, error) {
	first, last := s.log.Bounds()
	if first > last {
		return 0, nil
	}
	return first, nil
}

// LastIndex implements raft.LogStore.
func (s *logStore) LastIndex() (uint64, error) {
	first, last := s.log.Bounds()
	if first > last {
		return 0, nil
	}
	return last, nil
}

// GetLog implements raft.LogStore. raft compares the error of an index that isn't there.
func (s *logStore) GetLog(index uint64, into *raft.Log) error {
	e, err := s.log.Read(index)
	switch {
	case errors.Is(err, kv.ErrTruncated), errors.Is(err, kv.ErrOutOfRange):
		return s.getEnd(index, into)
	case err != nil && s.running():
		s.watch.trip(err)
		runtime.Goexit()
	case err != nil:
		return err
	}
	*into = raft.Log{
		Index: e.Offset, Term: e.Term, Type: raft.LogType(e.Kind), Data: e.Data, Extensions: e.Extensions, AppendedAt: e.AppendedAt,
	}
	return nil
}

// getEnd returns the term of the entry that a snapshot ends with and that the log goes on after. raft asks for it when it compares the
// log with another node's; without an answer the node would be sent the snapshot again and again. Nobody asks for what the entry says:
// raft sends an entry only after the one before it was found, which this one's isn't. The first entry has none before it, so it isn't
// answered for.
func (s *logStore) getEnd(index uint64, into *raft.Log) error {
	first, _ := s.log.Bounds()
	term, found := s.history.endTerm(index)
	if index+1 != first || index == 1 || !found {
		return raft.ErrLogNotFound
	}
	*into = raft.Log{Index: index, Term: term, Type: raft.LogNoop}
	return nil
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore. Nothing was stored after an error, but for kv.ErrFailed, which ends the node.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	if err := s.history.expect(logs); err != nil {
		s.watch.trip(err)
		return err
	}
	entries := make([]kv.Entry, len(logs))
	for i, l := range logs {
		entries[i] = kv.Entry{
			Offset: l.Index, Term: l.Term, Kind: uint8(l.Type), AppendedAt: l.AppendedAt, Extensions: l.Extensions, Data: l.Data,
		}
	}
	ended := s.watch.begin()
	err := s.log.Append(s.committed(), entries)
	ended()
	s.watch.saw(err)
	return err
}

// DeleteRange implements raft.LogStore. raft deletes what a snapshot has, from the first entry on, or what was never agreed upon, up to the
// last.
func (s *logStore) DeleteRange(from, to uint64) error {
	first, last := s.log.Bounds()
	if from <= first && to <= s.applied() {
		return s.log.DropFront(min(to, last) + 1)
	}
	ended := s.watch.begin()
	err := s.log.DropBack(max(from, 1) - 1)
	ended()
	s.watch.saw(err)
	if err != nil {
		return err
	}
	return s.history.forgetFrom(from)
}
