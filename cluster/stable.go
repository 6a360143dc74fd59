package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv"
)

// stable is the file of what a node must not forget besides its log: its term, its vote, and what the other files here keep in it. It is
// small, and written whole at each change: under another name, synced, and renamed. A change is durable once it returns.
//
//	walnut consensus 1
//	"CurrentTerm" "\x00\x00\x00\x00\x00\x00\x00\a"
//	sum 1b2c3d4e
//
// Keys are in order. Keys and values are written as Go's strconv.Quote does. The last line is the CRC-32C of those before it.
//
// With each change it notes what the store has applied, so that a store which was lost since, or replaced by an older one, is noticed.
//
// Invariant: held is what the file has. After a write that failed, broken says so, and nothing is read or written: a vote that can't be
// relied on must not be given again. A full disk is known to change nothing, so then the next change is tried again.
type stable struct {
	fs      vfs.FS
	path    string
	time    func() func() // Called before a write; what it returns, after.
	applied func() uint64 // What the store has applied.
	saw     func(error)   // Called where a full disk has refused a change, and with nil once one succeeds after that.
	trip    func(error)   // Called where broken is set, so that no caller can forget it: the node must stop.

	mu     sync.Mutex
	held   map[string]string
	full   bool // The disk has refused the last change.
	broken error
}

// The keys that raft uses.
const (
	termKey     = "CurrentTerm"
	voteTermKey = "LastVoteTerm"
	voteKey     = "LastVoteCand"
)

// The keys of the node itself.
const (
	directoryKey = "directory" // The number of its directory.
	appliedKey   = "applied"   // What the store had applied when the file was written.
)

const (
	stableTitle = "walnut consensus 1"
	stableMax   = 64 << 20 // More bytes than the file has.
)

// openStable reads the file, which may be missing.
func openStable(fsys vfs.FS, path string) (*stable, error) {
	s := &stable{fs: fsys, path: path, held: map[string]string{}}
	s.time, s.applied = func() func() { return func() {} }, func() uint64 { return 0 }
	s.saw, s.trip = func(error) {}, func(error) {}
	file, err := fsys.OpenRead(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	text, err := readWhole(file)
	if err == nil {
		s.held, err = parseStable(text)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("cluster: read %s: %w", path, err)
	}
	return s, nil
}

func readWhole(file vfs.File) ([]byte, error) {
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	if size > stableMax {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrCorrupt, size, stableMax)
	}
	text := make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(file, 0, size), text)
	return text, err
}

func encodeStable(held map[string]string) []byte {
	text := []byte(stableTitle + "\n")
	for _, key := range slices.Sorted(maps.Keys(held)) {
		text = fmt.Appendf(text, "%q %q\n", key, held[key])
	}
	return fmt.Appendf(text, "sum %08x\n", crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
}

// parseStable is the inverse of encodeStable.
func parseStable(text []byte) (map[string]string, error) {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if lines[0] != stableTitle {
		return nil, fmt.Errorf("%w: it begins with %q, not %q", ErrCorrupt, lines[0], stableTitle)
	}
	held := map[string]string{}
	for _, line := range lines[1:max(len(lines)-1, 1)] {
		first, err := strconv.QuotedPrefix(line)
		if err != nil {
			break
		}
		key, _ := strconv.Unquote(first)
		value, err := strconv.Unquote(strings.TrimPrefix(line[len(first):], " "))
		if err != nil {
			break
		}
		held[key] = value
	}
	if !bytes.Equal(encodeStable(held), text) {
		return nil, fmt.Errorf("%w: it is not as it was written", ErrCorrupt)
	}
	return held, nil
}

// change makes a change durable. It is whole or not at all. After kv.ErrNoSpace nothing was changed, and another one may succeed.
func (s *stable) change(with func(held map[string]string)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	next := maps.Clone(s.held)
	if with(next); maps.Equal(next, s.held) {
		return nil
	}
	if applied := s.applied(); applied > 0 {
		next[appliedKey] = number(applied)
	}
	if err := s.write(next); err != nil {
		return err
	}
	s.held = next
	if s.full {
		s.full = false
		s.saw(nil)
	}
	return nil
}

// write writes the file. mu is held.
func (s *stable) write(next map[string]string) error {
	defer s.time()()
	err := vfs.WriteTemporary(s.fs, s.path, bytes.NewReader(encodeStable(next)), true)
	if vfs.IsNoSpace(err) {
		s.full = true
		err = fmt.Errorf("cluster: %w: %w", kv.ErrNoSpace, err)
		s.saw(err)
		return err
	}
	if err == nil {
		err = vfs.Publish(s.fs, s.path, true)
	}
	if err != nil {
		s.broken = fmt.Errorf("cluster: %s can't be relied on until the node is opened again: %w", s.path, err)
		s.trip(s.broken)
	}
	return s.broken
}

// read returns a value, empty where there is none.
func (s *stable) read(key string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[key], s.broken
}

// Set implements raft.StableStore.
func (s *stable) Set(key, value []byte) error {
	return s.change(func(held map[string]string) { held[string(key)] = string(value) })
}

// Get implements raft.StableStore.
func (s *stable) Get(key []byte) ([]byte, error) {
	value, err := s.read(string(key))
	return []byte(value), err
}

// SetUint64 implements raft.StableStore. raft saves a vote's term, and then for which node the vote is. A vote of before, which is for another
// term, goes with it: after a crash between the two it would count for this term, though nothing was asked of that node's log.
func (s *stable) SetUint64(key []byte, value uint64) error {
	return s.change(func(held map[string]string) {
		if string(key) == voteTermKey {
			delete(held, voteKey)
		}
		held[string(key)] = number(value)
	})
}

// number returns a number as the file has it.
func number(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// settle notes what the store has applied, if nothing has since.
func (s *stable) settle() error {
	return s.change(func(held map[string]string) { delete(held, appliedKey) })
}

// checkReach refuses a store that ends before what it had applied.
func (s *stable) checkReach(last uint64) error {
	applied, err := s.GetUint64([]byte(appliedKey))
	if err == nil && last < applied {
		err = fmt.Errorf("%w: the store ends with entry %d, but %s knows that %d was applied; remove the node, and open a new directory",
			ErrCorrupt, last, s.path, applied)
	}
	return err
}

// forgetBegun removes the first term of a cluster that was being made when the node died, or its disk was full: the term is there, and the
// entry with the members isn't. Without a vote nobody has heard of the term.
func (s *stable) forgetBegun() error {
	return s.change(func(held map[string]string) {
		if held[voteTermKey] == "" && held[termKey] == number(1) {
			delete(held, termKey)
		}
	})
}

// GetUint64 implements raft.StableStore.
func (s *stable) GetUint64(key []byte) (uint64, error) {
	value, err := s.read(string(key))
	switch {
	case err != nil || value == "":
		return 0, err
	case len(value) != 8:
		return 0, fmt.Errorf("%w: %s: %q has %d bytes, not 8", ErrCorrupt, s.path, key, len(value))
	}
	return binary.BigEndian.Uint64([]byte(value)), nil
}
