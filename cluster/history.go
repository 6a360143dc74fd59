package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/kv"
)

// history is what the consensus has to know of entries that the log may lack: which members there were, and the terms of the entries that
// snapshots end with. It is kept in the stable file.
//
// Where the node died before a snapshot was noted, the note is made when it is opened, for which the log still has all that follows the
// snapshot before it.
//
// Invariant: every note of members at an index which the log has is that of its entry, while no append or cut is in progress. An entry is
// appended only while the file has the notes that there are: once the log has let go of an entry, nothing contradicts a note of it.
type history struct {
	stable *stable
	log    entryLog

	mu      sync.Mutex
	members roll
	ends    ends
	unsaved bool // The file lacks something of them, or has more: a full disk has refused it.
}

// openHistory reads the notes, and makes them those of the log and the snapshots.
func openHistory(s *stable, log entryLog, dir string) (*history, error) {
	members, errMembers := readNotes(s.held, membersKey)
	noted, errEnds := readNotes(s.held, endKey)
	if err := errors.Join(errMembers, errEnds); err != nil {
		return nil, fmt.Errorf("cluster: %s: %w", s.path, err)
	}
	h := &history{stable: s, log: log, members: roll{members}, ends: ends{notes: noted, dir: dir}}
	if err := errors.Join(h.members.check(log), h.ends.check(log, s.applied()), h.goBack(), h.saveIfRoom(), h.noteEnds()); err != nil {
		return nil, err
	}
	if first, _ := log.Bounds(); len(noted) == 0 && first > 1 {
		return nil, fmt.Errorf("%w: %s doesn't know the snapshot before entry %d", ErrCorrupt, s.path, first)
	}
	return h, nil
}

// goBack notes the members in what the store has to apply again, where it went back to before the end of a snapshot that is gone or can't be
// read: the notes of entries before that end were dropped.
func (h *history) goBack() error {
	base, _ := h.ends.last(h.stable.applied())
	newest, _ := h.ends.last(math.MaxUint64)
	return h.members.find(h.log, base+1, newest)
}

// noteEnds notes the snapshots that have no note: the node died before it had one, or the caller of the store took a checkpoint. On a full
// disk it is as with forgetFrom.
func (h *history) noteEnds() error {
	places, err := h.ends.places()
	if err != nil {
		return err
	}
	for _, place := range slices.Backward(places) {
		err := h.noteEnd(place.Offset)
		if err != nil && !errors.Is(err, errNoEntry) && !errors.Is(err, kv.ErrNoSpace) {
			return err
		}
	}
	return nil
}

var errNoEntry = errors.New("neither the log nor a note has the entry")

// keep lets the store take a snapshot, which is noted before: then the store truncates its log, and the entry may be gone.
func (h *history) keep(ctx context.Context, state *kv.Snapshot) error {
	if offset := state.Offset(); offset > 0 {
		h.mu.Lock()
		h.ends.coming = offset
		h.mu.Unlock()
		if err := h.noteEnd(offset); err != nil {
			return err
		}
	}
	return state.Keep(ctx)
}

// noteEnd notes a snapshot of what is applied that is there, or is to come.
func (h *history) noteEnd(offset uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if applied := h.stable.applied(); offset > applied { // It is being installed and may be withdrawn, or can't be read.
		return fmt.Errorf("cluster: snapshot %d: %w: up to %d is applied", offset, errNoEntry, applied)
	}
	n, err := h.at(offset)
	if err != nil {
		return fmt.Errorf("cluster: snapshot %d: %w", offset, err)
	}
	h.ends.notes[offset] = n
	return h.save()
}

// at returns the note of an entry that the log has, or that a snapshot ends with. mu is held.
func (h *history) at(offset uint64) (note, error) {
	if n, found := h.ends.notes[offset]; found {
		return n, nil
	}
	e, err := h.log.Read(offset)
	if errors.Is(err, kv.ErrTruncated) || errors.Is(err, kv.ErrOutOfRange) {
		return note{}, fmt.Errorf("%w: %w", errNoEntry, err)
	}
	if err != nil {
		return note{}, err
	}
	n := h.membersAt(offset)
	if n.index == 0 && len(h.ends.notes) > 0 {
		return note{}, fmt.Errorf("%w with the members as of then: the notes begin after it", errNoEntry)
	}
	n.term = e.Term
	return n, nil
}

// membersAt returns the note with the members as of an entry. What the end of a snapshot says counts for all before it, where a note may be of an
// entry that was never agreed upon, and that an install has removed. mu is held.
func (h *history) membersAt(offset uint64) note {
	at, end := h.ends.last(offset)
	if entry, n := h.members.last(offset); entry > at {
		return n
	}
	return end
}

// newest returns the index of the last entry with members.
func (h *history) newest() (index uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.membersAt(math.MaxUint64).index
}

// had reports whether a node has been a member, as far as the notes go back, by entries up to one.
func (h *history) had(id string, upTo uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.members.had(id, upTo) || h.ends.had(id, upTo)
}

// endTerm returns the term of the entry that a snapshot ends with.
func (h *history) endTerm(offset uint64) (term uint64, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, found := h.ends.notes[offset]
	return n.term, found
}

// expect notes the members that come with entries that are to be appended.
func (h *history) expect(logs []*raft.Log) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.members.expect(logs) && !h.unsaved {
		return nil
	}
	return h.save()
}

// forgetFrom removes the notes of members in entries that were cut, or that an install has removed. On a full disk the file keeps them until
// an entry is to be appended: to fail would be no help, since the entries are gone, and raft would count them still.
func (h *history) forgetFrom(index uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members.forgetFrom(index)
	return h.saveIfRoom()
}

// saveIfRoom is save, but a full disk is no failure. mu is held.
func (h *history) saveIfRoom() error {
	if err := h.save(); !errors.Is(err, kv.ErrNoSpace) {
		return err
	}
	return nil
}

// installed removes the notes of members in entries that were removed by an install: those that the snapshot has in another way, and those
// after it unless the log has kept them. It reports whether the log has members after the snapshot. On a full disk it is as with forgetFrom.
func (h *history) installed(meta *raft.SnapshotMeta, kept bool) (later bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members.supersede(meta.Index, h.ends.notes[meta.Index])
	if !kept {
		h.members.forgetFrom(meta.Index + 1)
	}
	last, _ := h.members.last(math.MaxUint64)
	return last > meta.Index, h.saveIfRoom()
}

// sent notes a snapshot that is to be installed.
func (h *history) sent(meta *raft.SnapshotMeta) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends.notes[meta.Index] = note{meta.Term, meta.ConfigurationIndex, string(raft.EncodeConfiguration(meta.Configuration))}
	return h.save()
}

// notInstalled removes the note of a snapshot that was sent and couldn't be installed: nothing here goes on after it. On a full disk it is as
// with forgetFrom.
func (h *history) notInstalled(meta *raft.SnapshotMeta) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.ends.notes, meta.Index)
	return h.saveIfRoom()
}

// save makes the notes durable: those that are needed, of the snapshots that are there and the one that may come. mu is held, but while the
// history is opened.
func (h *history) save() error {
	h.members.dropBefore(h.ends.drop(h.log, h.stable.applied()) + 1)
	err := h.stable.change(func(held map[string]string) {
		h.members.write(held, membersKey)
		h.ends.write(held, endKey)
	})
	h.unsaved = err != nil
	return err
}

// meta returns what the consensus needs to go on after an entry.
func (h *history) meta(id string, offset uint64, size int64) (*raft.SnapshotMeta, error) {
	h.mu.Lock()
	n, err := h.at(offset)
	h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	meta := &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: id, Index: offset, Term: n.term, ConfigurationIndex: n.index, Size: size,
	}
	if n.members != "" {
		meta.Configuration, err = decodeMembers([]byte(n.members))
	}
	return meta, err
}

// noted returns the snapshots that are there and have a note, the newest first.
func (h *history) noted() ([]*raft.SnapshotMeta, error) {
	if err := h.noteEnds(); err != nil {
		return nil, err
	}
	places, err := h.ends.places()
	if err != nil {
		return nil, err
	}
	var metas []*raft.SnapshotMeta
	for _, place := range places {
		if _, found := h.endTerm(place.Offset); !found {
			continue
		}
		meta, err := h.meta(filepath.Base(place.Path), place.Offset, place.Bytes)
		if err != nil {
			return nil, err
		}
		metas = append(metas, meta)
	}
	return metas, nil
}
