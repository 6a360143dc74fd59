package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/snapshot"
)

// history is what the consensus has to know of entries that the log may lack: which members there were, and the terms of the entries that
// snapshots end with. It is kept in the stable file.
//
// Members are noted before their entry is in the log, so that no entry with members has to be looked for; a note without its entry is
// removed when the node is opened. A snapshot is noted once it is there; where the node died between, the note is made when it is opened,
// for which the log still has all that follows the snapshot before it. A snapshot that another node has sent is noted before it is
// installed.
//
// Invariant: every note of members at an index which the log has is that of its entry, while no append or cut is in progress.
type history struct {
	stable *stable
	log    entryLog
	dir    string // Of the snapshots.

	mu      sync.Mutex
	members map[uint64]note // By the index of the entry.
	ends    map[uint64]note // By the offset of the snapshot.
}

// note is an entry's term, and the members as of then: those of the entry at index.
type note struct {
	term    uint64
	index   uint64
	members string // As raft encodes them; empty where there were none.
}

// The keys in the stable file: a prefix and a number.
const (
	membersKey = "members "
	endKey     = "snapshot "
)

func (n note) encode() string {
	return string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n.term), n.index)) + n.members
}

func parseNote(text string) (n note, err error) {
	if len(text) < 16 {
		return n, fmt.Errorf("%w: a note has %d bytes", ErrCorrupt, len(text))
	}
	return note{binary.BigEndian.Uint64([]byte(text[:8])), binary.BigEndian.Uint64([]byte(text[8:16])), text[16:]}, nil
}

// openHistory reads the notes, and makes them those of the log and the snapshots.
func openHistory(s *stable, log entryLog, dir string) (*history, error) {
	h := &history{stable: s, log: log, dir: dir, members: map[uint64]note{}, ends: map[uint64]note{}}
	for key, value := range s.held {
		for prefix, into := range map[string]map[uint64]note{membersKey: h.members, endKey: h.ends} {
			digits, found := strings.CutPrefix(key, prefix)
			if !found {
				continue
			}
			number, err := strconv.ParseUint(digits, 10, 64)
			if err == nil {
				into[number], err = parseNote(value)
			}
			if err != nil {
				return nil, fmt.Errorf("cluster: %s: %q: %w", s.path, key, err)
			}
		}
	}
	if err := errors.Join(h.check(), h.noteEnds()); err != nil {
		return nil, err
	}
	if first, _ := log.Bounds(); len(h.ends) == 0 && first > 1 {
		return nil, fmt.Errorf("%w: %s doesn't know the snapshot before entry %d", ErrCorrupt, s.path, first)
	}
	return h, nil
}

// check removes the notes of members whose entry isn't in the log.
func (h *history) check() error {
	first, last := h.log.Bounds()
	for index, n := range h.members {
		if index < first {
			continue
		}
		if index <= last {
			e, err := h.log.Read(index)
			if err != nil {
				return fmt.Errorf("cluster: %w", err)
			}
			if e.Term == n.term && e.Kind == uint8(raft.LogConfiguration) && string(e.Data) == n.members {
				continue
			}
		}
		delete(h.members, index)
	}
	return h.save()
}

// noteEnds notes the snapshots that have no note: the node died before it had one, or the caller of the store took a checkpoint.
func (h *history) noteEnds() error {
	places, err := snapshot.List(nil, h.dir)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	for _, place := range slices.Backward(places) {
		err := h.noteEnd(place.Offset)
		if err != nil && !errors.Is(err, errNoEntry) {
			return err
		}
	}
	return nil
}

var errNoEntry = errors.New("neither the log nor a note has the entry")

// noteEnd notes a snapshot that is there.
func (h *history) noteEnd(offset uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := h.at(offset)
	if err != nil {
		return fmt.Errorf("cluster: snapshot %d: %w", offset, err)
	}
	h.ends[offset] = n
	return h.save()
}

// at returns the note of an entry that the log has, or that a snapshot ends with. mu is held.
func (h *history) at(offset uint64) (note, error) {
	if n, found := h.ends[offset]; found {
		return n, nil
	}
	e, err := h.log.Read(offset)
	if errors.Is(err, kv.ErrTruncated) || errors.Is(err, kv.ErrOutOfRange) {
		return note{}, fmt.Errorf("%w: %w", errNoEntry, err)
	}
	if err != nil {
		return note{}, err
	}
	n := note{term: e.Term}
	for index, m := range h.members {
		if index <= offset && index > n.index {
			n.index, n.members = index, m.members
		}
	}
	for end, m := range h.ends {
		if end <= offset && m.index > n.index {
			n.index, n.members = m.index, m.members
		}
	}
	return n, nil
}

// newest returns the index of the last entry with members.
func (h *history) newest() (index uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for at := range h.members {
		index = max(index, at)
	}
	for _, n := range h.ends {
		index = max(index, n.index)
	}
	return index
}

// had reports whether a node has been a member, as far as the notes go back, by entries up to one.
func (h *history) had(id string, upTo uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, notes := range []map[uint64]note{h.members, h.ends} {
		for _, n := range notes {
			members, err := decodeMembers([]byte(n.members))
			had := func(s raft.Server) bool { return string(s.ID) == id }
			if err == nil && n.index <= upTo && slices.ContainsFunc(members.Servers, had) {
				return true
			}
		}
	}
	return false
}

// endTerm returns the term of the entry that a snapshot ends with.
func (h *history) endTerm(offset uint64) (term uint64, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, found := h.ends[offset]
	return n.term, found
}

// expect notes the members that come with entries that are to be appended.
func (h *history) expect(logs []*raft.Log) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := false
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			h.members[l.Index], news = note{l.Term, l.Index, string(l.Data)}, true
		}
	}
	if !news {
		return nil
	}
	return h.save()
}

// forgetFrom removes the notes of members in entries that were cut.
func (h *history) forgetFrom(index uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.members, func(at uint64, _ note) bool { return at >= index })
	return h.save()
}

// sent notes a snapshot that is to be installed.
func (h *history) sent(meta *raft.SnapshotMeta) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends[meta.Index] = note{meta.Term, meta.ConfigurationIndex, string(raft.EncodeConfiguration(meta.Configuration))}
	return h.save()
}

// installed removes the notes of members in entries that an install has removed.
func (h *history) installed(offset uint64) error { return h.forgetFrom(offset + 1) }

// save makes the notes durable: those that are needed, of the snapshots that are there and the one that may come. mu is held, but while the
// history is opened.
func (h *history) save() error {
	oldest := h.oldest()
	return h.stable.change(func(held map[string]string) {
		maps.DeleteFunc(held, func(key, _ string) bool { return strings.HasPrefix(key, membersKey) || strings.HasPrefix(key, endKey) })
		for index, n := range h.members {
			if index > oldest {
				held[fmt.Sprintf("%s%020d", membersKey, index)] = n.encode()
			}
		}
		for offset, n := range h.ends {
			if offset >= oldest {
				held[fmt.Sprintf("%s%020d", endKey, offset)] = n.encode()
			}
		}
	})
}

// oldest returns the offset of the oldest snapshot that is there and has a note, which speaks for all before it; 0 where there is none.
func (h *history) oldest() uint64 {
	places, err := snapshot.List(nil, h.dir)
	if err != nil {
		return 0
	}
	for _, place := range slices.Backward(places) {
		if _, found := h.ends[place.Offset]; found {
			return place.Offset
		}
	}
	return 0
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

// decodeMembers is raft.DecodeConfiguration, with an error where that panics.
func decodeMembers(text []byte) (members raft.Configuration, err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("%w: members: %v", ErrCorrupt, why)
		}
	}()
	return raft.DecodeConfiguration(text), nil
}

// noted returns the snapshots that are there and have a note, the newest first.
func (h *history) noted() ([]*raft.SnapshotMeta, error) {
	if err := h.noteEnds(); err != nil {
		return nil, err
	}
	places, err := snapshot.List(nil, h.dir)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	var metas []*raft.SnapshotMeta
	for _, place := range places {
		h.mu.Lock()
		_, found := h.ends[place.Offset]
		h.mu.Unlock()
		if !found {
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
