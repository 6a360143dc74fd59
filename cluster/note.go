package cluster

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"
)

// note is an entry's term, and the members as of then: those of the entry at index.
type note struct {
	term    uint64
	index   uint64
	members string // As raft encodes them; empty where there were none.
}

func (n note) encode() string {
	return string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n.term), n.index)) + n.members
}

func parseNote(text string) (n note, err error) {
	if len(text) < 16 {
		return n, fmt.Errorf("%w: a note has %d bytes", ErrCorrupt, len(text))
	}
	return note{binary.BigEndian.Uint64([]byte(text[:8])), binary.BigEndian.Uint64([]byte(text[8:16])), text[16:]}, nil
}

// has reports whether a node was one of the members.
func (n note) has(id string) bool {
	members, err := decodeMembers([]byte(n.members))
	return err == nil && slices.ContainsFunc(members.Servers, func(s raft.Server) bool { return string(s.ID) == id })
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

// notes are some of them by the offset of an entry, each under a key of the stable file: a prefix and the offset.
type notes map[uint64]note

// readNotes returns those in the stable file under a prefix.
func readNotes(held map[string]string, prefix string) (notes, error) {
	found := notes{}
	for key, value := range held {
		digits, is := strings.CutPrefix(key, prefix)
		if !is {
			continue
		}
		offset, err := strconv.ParseUint(digits, 10, 64)
		if err == nil {
			found[offset], err = parseNote(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
	}
	return found, nil
}

// write replaces those in the stable file under a prefix.
func (n notes) write(held map[string]string, prefix string) {
	maps.DeleteFunc(held, func(key, _ string) bool { return strings.HasPrefix(key, prefix) })
	for offset, one := range n {
		held[fmt.Sprintf("%s%020d", prefix, offset)] = one.encode()
	}
}

// dropBefore removes those before an offset.
func (n notes) dropBefore(offset uint64) {
	maps.DeleteFunc(n, func(at uint64, _ note) bool { return at < offset })
}

// last returns the one of the last offset up to one; 0 where there is none.
func (n notes) last(upTo uint64) (offset uint64, last note) {
	for at, one := range n {
		if at <= upTo && at >= offset {
			offset, last = at, one
		}
	}
	return offset, last
}

// had reports whether one of them that is of members up to an index has a node.
func (n notes) had(id string, upTo uint64) bool {
	for _, one := range n {
		if one.index <= upTo && one.has(id) {
			return true
		}
	}
	return false
}
