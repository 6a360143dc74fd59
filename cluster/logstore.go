package cluster

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

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
// raft panics where an entry that it needs can't be read, or says what raft doesn't know. Such an entry is not taken. Where the log has one,
// the calling goroutine ends instead, which is one of raft's, after the watchdog was called, which ends the others.
type logStore struct {
	log       entryLog
	history   *history
	watch     *watchdog
	committed func() uint64 // Up to which index entries are known to be agreed upon.
	applied   func() uint64
	shortened func()      // Called where the log has fewer entries than raft counts.
	cut       atomic.Bool // Entries were cut of which raft hears only once others are appended.
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
	if errors.Is(err, kv.ErrTruncated) || errors.Is(err, kv.ErrOutOfRange) {
		return s.getEnd(index, into)
	}
	*into = raft.Log{
		Index: e.Offset, Term: e.Term, Type: raft.LogType(e.Kind), Data: e.Data, Extensions: e.Extensions, AppendedAt: e.AppendedAt,
	}
	if err == nil {
		err = checkEntry(into)
	}
	if err != nil {
		s.fatal(err)
	}
	return nil
}

// fatal stops the node and ends the calling goroutine.
func (s *logStore) fatal(err error) {
	s.watch.trip(err)
	runtime.Goexit()
}

// checkEntry refuses an entry of which raft would panic.
func checkEntry(l *raft.Log) (err error) {
	switch l.Type {
	case raft.LogCommand, raft.LogNoop, raft.LogBarrier:
	case raft.LogConfiguration:
		_, err = decodeMembers(l.Data)
	default:
		err = fmt.Errorf("%w: it has the type %d", kv.ErrVersion, l.Type)
	}
	if err != nil {
		return fmt.Errorf("cluster: entry %d: %w", l.Index, err)
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
		if index > s.applied() && index <= s.committed() { // Raft is about to apply it.
			s.fatal(fmt.Errorf("%w: entry %d is agreed upon and not in the log", ErrCorrupt, index))
		}
		return raft.ErrLogNotFound
	}
	*into = raft.Log{Index: index, Term: term, Type: raft.LogNoop}
	return nil
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore. Nothing was stored after an error, but for kv.ErrFailed, which ends the node.
//
// Where entries were cut before and none could be appended, raft still counts those that were cut: it would take no others at their indexes,
// and stand for election with them. So it has to begin again. The error is a membersError where members came with the entries.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	err := s.store(logs)
	s.watch.saw(err)
	if s.cut.Swap(false) && err != nil {
		s.shortened()
	}
	hasMembers := slices.ContainsFunc(logs, func(l *raft.Log) bool { return l.Type == raft.LogConfiguration })
	if err == nil || !hasMembers {
		return err
	}
	if !errors.Is(err, kv.ErrFailed) { // Then the next opening finds out whether the log has them.
		_, last := s.log.Bounds()
		err = errors.Join(err, s.history.forgetFrom(max(logs[0].Index, last+1)))
	}
	return membersError{err}
}

// membersError reports that an entry with members wasn't appended. On a leader raft counts them all the same, until it begins again.
type membersError struct{ error }

// Unwrap is for errors.Is and errors.As.
func (e membersError) Unwrap() error { return e.error }

func (s *logStore) store(logs []*raft.Log) error {
	if err := s.watch.stopped(); errors.Is(err, kv.ErrFailed) { // What was noted of an entry that may be in the log must stay.
		return err
	}
	if len(logs) == 0 {
		return nil
	}
	if applied := s.applied(); logs[0].Index <= applied {
		return s.contradicted(logs[0].Index, applied)
	}
	if _, last := s.log.Bounds(); logs[0].Index <= last { // Its note would replace that of the entry which the log has.
		return fmt.Errorf("cluster: %w: entry %d was to be appended after %d", kv.ErrOutOfRange, logs[0].Index, last)
	}
	entries := make([]kv.Entry, len(logs))
	for i, l := range logs {
		if err := checkEntry(l); err != nil {
			return err
		}
		entries[i] = kv.Entry{
			Offset: l.Index, Term: l.Term, Kind: uint8(l.Type), AppendedAt: l.AppendedAt, Extensions: l.Extensions, Data: l.Data,
		}
	}
	if err := s.history.expect(logs); err != nil {
		return err
	}
	ended := s.watch.begin()
	defer ended()
	return s.log.Append(s.committed(), entries)
}

// DeleteRange implements raft.LogStore. raft deletes what was never agreed upon, up to the last entry; or what a snapshot has, from the
// first one on; or, after an install, all: then what the snapshot doesn't have stays.
func (s *logStore) DeleteRange(from, to uint64) error {
	first, last := s.log.Bounds()
	switch applied := s.applied(); {
	case from > applied:
		return s.cutFrom(from)
	case from <= first:
		return s.log.DropFront(min(to, last, applied) + 1)
	default:
		return s.contradicted(from, applied)
	}
}

// contradicted stops a node that has applied something else than the others.
func (s *logStore) contradicted(index, applied uint64) error {
	err := fmt.Errorf("cluster: %w: there are other entries from %d on, up to %d all are applied", kv.ErrConflict, index, applied)
	s.watch.trip(err)
	return err
}

// cutFrom removes the entries from one on.
func (s *logStore) cutFrom(from uint64) error {
	ended := s.watch.begin()
	err := s.log.DropBack(max(from, 1) - 1)
	ended()
	s.watch.saw(err)
	if err != nil {
		return err
	}
	s.cut.Store(true)
	return s.history.forgetFrom(from)
}
