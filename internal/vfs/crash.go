package vfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Policy says what a power cut takes of the changes that were not synced.
type Policy uint8

// The policies. Those from TornTail on draw lots, so that each seed leaves a state of its own.
const (
	// KeepNone takes all of it.
	KeepNone Policy = iota
	// KeepAll takes nothing.
	KeepAll
	// NamesOnly keeps the names and takes all changes of files.
	NamesOnly
	// ContentOnly keeps the changes of files and takes all changes of names.
	ContentOnly
	// LengthsOnly keeps names and lengths; what was written isn't, and reads as zeros where the file grew.
	LengthsOnly
	// TornTail keeps what came before some point of time, a part of the change at that point, and nothing after it.
	TornTail
	// Reverse keeps what came after some point of time, and nothing before it.
	Reverse
	// OneLost keeps all but a single change, or some sectors of it.
	OneLost
	// Sectors decides over each disk sector of each write by itself, sometimes tearing it at any byte, and over each
	// length and each name. A file may have grown for bytes that didn't arrive: those read as zeros.
	Sectors
	// Mixed gives each file and each directory another policy of the ones above.
	Mixed
)

// Policies lists all policies.
var Policies = []Policy{
	KeepNone, KeepAll, NamesOnly, ContentOnly, LengthsOnly, TornTail, Reverse, OneLost, Sectors, Mixed,
}

var policyNames = [...]string{
	KeepNone: "KeepNone", KeepAll: "KeepAll", NamesOnly: "NamesOnly", ContentOnly: "ContentOnly",
	LengthsOnly: "LengthsOnly", TornTail: "TornTail", Reverse: "Reverse", OneLost: "OneLost", Sectors: "Sectors",
	Mixed: "Mixed",
}

// String returns the policy's name, as the source has it.
func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// Random reports whether the seed makes a difference.
func (p Policy) Random() bool { return p >= TornTail }

// Crash returns a state that a power cut at this moment could leave: a Mem of its own, in which everything is durable,
// and nothing open, mapped or locked. The receiver stays as it is. The same history, seed and policy give the same state.
//
// Whatever the policy, a change of a name doesn't survive without the earlier changes of the same name: no file system
// makes a new entry where, to the disk, the old one still is. In the same way a rename survives as a whole or not at all.
func (m *Mem) Crash(seed uint64, policy Policy) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	dirs, files := m.inodes()
	cut := &powerCut{
		rng:        rand.New(rand.NewPCG(seed, uint64(policy))),
		policy:     policy,
		numbers:    pendingNumbers(dirs, files),
		neighbours: m.tornNeighbours,
	}
	cut.choosePoint()
	t := newTwins(dirs, files, func(f *memFile) *memFile {
		twin := &memFile{id: f.id, bad: maps.Clone(f.bad)}
		twin.settle(cut.forInode().content(f))
		return twin
	})
	for _, d := range dirs {
		t[d].(*memDir).names = t.names(cut.forInode().names(d))
	}
	return m.with(t)
}

// pendingNumbers returns the numbers of all unsynced changes in the order in which they were made.
func pendingNumbers(dirs []*memDir, files []*memFile) []int64 {
	var numbers []int64
	for _, d := range dirs {
		for _, ch := range d.pending {
			numbers = append(numbers, ch.number)
		}
	}
	for _, f := range files {
		for _, ch := range f.pending {
			numbers = append(numbers, ch.number)
		}
	}
	slices.Sort(numbers)
	return numbers
}
