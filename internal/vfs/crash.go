package vfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Policy is a rule for which of the unsynced changes a power cut takes.
type Policy uint8

// The policies. From TornTail on they are random: each seed can leave another state.
const (
	// KeepNone takes all changes.
	KeepNone Policy = iota
	// KeepAll takes none.
	KeepAll
	// NamesOnly keeps the names and takes all changes of files.
	NamesOnly
	// ContentOnly keeps the changes of files and takes all changes of names.
	ContentOnly
	// LengthsOnly keeps names and lengths and takes what was written. Where a file grew it reads as zeros.
	LengthsOnly
	// TornTail keeps the changes before some point in time, a part of the change at that point, and none after it.
	TornTail
	// Reverse keeps the changes from some point in time on, and none before it.
	Reverse
	// OneLost keeps all changes but one, or but some sectors of that one.
	OneLost
	// Sectors keeps or takes each disk sector of each write, each length and each name at random, and tears some sectors at
	// any byte. A file may have grown for bytes that didn't arrive, which read as zeros.
	Sectors
	// Mixed chooses one of the policies above for each file and each directory.
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

// String returns the policy's name, as written in the source.
func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// Random reports whether the seed makes a difference.
func (p Policy) Random() bool { return p >= TornTail }

// Crash returns a state that a power cut at this moment could leave, as an independent Mem in which everything is durable
// and nothing is open, mapped or locked. The receiver doesn't change. The same history, seed and policy give the same state.
//
// Under every policy, a change of a name survives only with all earlier changes of the same name, since no file system
// creates an entry where the disk still has the old one. A rename survives as a whole or not at all.
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
		twin.reset(cut.forInode().content(f))
		return twin
	})
	for _, d := range dirs {
		t[d].(*memDir).names = t.names(cut.forInode().names(d))
	}
	return m.with(t)
}

// pendingNumbers returns the numbers of all unsynced changes, oldest first.
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
