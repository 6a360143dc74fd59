package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/snapshot"
)

var notesFlag = flag.Int("notes", 40, "how many random lives of a node's notes are tried")

const (
	lifeSteps     = 90
	lifeSnapshots = 100 // There are snapshots to be sent as of the entries up to here.
)

// TestNotesAreThoseOfTheLogWhateverHappens lets a node live at random: other leaders' entries, cuts, installs, snapshots with notes and without,
// full disks, deaths, and snapshots that are lost or damaged. After each step it must know the members and the term of what it has applied, of
// each snapshot that it can send, and the last members in its log.
func TestNotesAreThoseOfTheLogWhateverHappens(t *testing.T) {
	var texts [][]byte
	t.Run("snapshots", func(t *testing.T) {
		s := openShelf(t, t.TempDir())
		s.members(1, "a")
		for offset := uint64(1); offset <= lifeSnapshots; offset++ {
			s.store(1, offset)
			s.apply(offset)
			s.keep()
			text, err := os.ReadFile(snapshot.Path(s.history.ends.dir, offset))
			require.NoError(t, err)
			texts = append(texts, text)
		}
		require.NoError(t, s.replica.DB().Close())
	})
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64() >> 1
	}
	for seed := first; seed < first+uint64(*notesFlag); seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { newLife(t, seed, texts).run() }) {
			t.Logf("go test -run TestNotesAre . -notes=1 -seed=%d", seed)
			return
		}
	}
}

// lifeEntry is an entry as the model has it.
type lifeEntry struct {
	term    uint64
	members string // Empty in a command.
}

// life is a node's, beside a model of what is true.
type life struct {
	*shelf
	dice   *rand.Rand
	texts  [][]byte
	agreed []lifeEntry // What the cluster agrees upon, sooner or later.
	own    []lifeEntry // What the node has, with what its snapshots have.
	term   uint64
	known  uint64 // Up to where the node knows what is agreed upon.
	named  int    // How many members there have been.
	trace  []string
	over   bool // The node doesn't open any more: what it needs was damaged.

	goesBack bool // The log is kept whole, so that the store can go back to its begin.
}

func newLife(t *testing.T, seed uint64, texts [][]byte) *life {
	l := &life{dice: rand.New(rand.NewPCG(seed, 0)), texts: texts, term: 1}
	l.shelf = &shelf{t: t, dir: t.TempDir(), segment: 4 << 10, disk: vfs.OS}
	if l.goesBack = l.dice.IntN(2) == 0; l.goesBack {
		l.kept = 1 << 20
	}
	require.NoError(t, l.open())
	l.agreed = []lifeEntry{l.withMembers()}
	l.began()
	return l
}

func (l *life) run() {
	defer func() {
		if l.t.Failed() {
			l.t.Log(strings.Join(l.trace, "\n"))
		}
		if l.replica != nil {
			require.NoError(l.t, l.replica.DB().Close())
		}
	}()
	for range lifeSteps {
		if l.step(); l.over {
			return
		}
		l.check()
	}
}

func (l *life) say(format string, args ...any) {
	l.trace = append(l.trace, fmt.Sprintf(format, args...))
}

// fill makes the stable file's disk full, once some more files were made, or gives it room.
func (l *life) fill(full bool, after int) {
	l.disk = vfs.OS
	if full {
		l.disk = &sickFS{FS: vfs.OS, sick: syscall.ENOSPC, wellFor: after}
	}
	l.stable.fs = l.disk
}

func (l *life) step() {
	switch l.dice.IntN(17) {
	case 0, 1, 2, 3:
		l.follow()
	case 4:
		l.lead()
	case 5, 6, 7:
		l.applySome()
	case 8, 9, 10:
		l.takeSnapshot()
	case 11, 12:
		l.install()
	case 13:
		full := l.disk == vfs.OS && l.dice.IntN(2) == 0
		l.say("the disk is full: %v", full)
		l.fill(full, 0)
	case 14, 15:
		l.reopen()
	default:
		l.damage()
	}
}

func (l *life) withMembers() lifeEntry {
	l.named++
	member := raft.Server{ID: raft.ServerID(fmt.Sprint("node ", l.named)), Address: "somewhere"}
	return lifeEntry{l.term, string(raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{member}}))}
}

func (l *life) entry() lifeEntry {
	if l.dice.IntN(4) == 0 {
		return l.withMembers()
	}
	return lifeEntry{term: l.term}
}

// same returns up to where the node has what is agreed upon.
func (l *life) same() (n uint64) {
	for n < uint64(min(len(l.agreed), len(l.own))) && l.agreed[n] == l.own[n] {
		n++
	}
	return n
}

// append stores entries, which a full disk may refuse.
func (l *life) append(entries []lifeEntry) {
	var logs []*raft.Log
	for i, e := range entries {
		stored := &raft.Log{Index: uint64(len(l.own) + i + 1), Term: e.term, Data: make([]byte, l.dice.IntN(400))}
		if e.members != "" {
			stored.Type, stored.Data = raft.LogConfiguration, []byte(e.members)
		}
		logs = append(logs, stored)
	}
	log := l.log
	if l.dice.IntN(8) == 0 {
		refusing := &refusals{entryLog: log}
		refusing.appends.Store(true)
		l.log = refusing
	}
	err := l.StoreLogs(logs)
	l.log = log
	l.say("append %d entries of term %d after %d: %v", len(entries), l.term, len(l.own), err)
	if err != nil {
		require.ErrorIs(l.t, err, kv.ErrNoSpace)
		return
	}
	l.own = append(l.own, entries...)
}

// follow cuts what the node has besides what is agreed upon, and appends some of that.
func (l *life) follow() {
	if same := l.same(); same < uint64(len(l.own)) {
		l.say("cut from %d on", same+1)
		require.NoError(l.t, l.DeleteRange(same+1, uint64(len(l.own))))
		l.own = l.own[:same]
	}
	count := 1 + l.dice.IntN(8)
	for len(l.agreed) < len(l.own)+count {
		l.agreed = append(l.agreed, l.entry())
	}
	l.append(l.agreed[len(l.own) : len(l.own)+count])
}

// lead lets the node append entries that are never agreed upon.
func (l *life) lead() {
	l.term++
	entries := []lifeEntry{l.withMembers()}
	for range l.dice.IntN(3) {
		entries = append(entries, l.entry())
	}
	l.append(entries)
	l.term++
	l.agreed = append(l.agreed, lifeEntry{term: l.term})
}

func (l *life) applySome() {
	applied, same := l.replica.Applied(), l.same()
	if applied >= same {
		return
	}
	l.known = max(l.known, applied+l.dice.Uint64N(same-applied+1))
	if l.known > applied {
		l.apply(applied + 1 + l.dice.Uint64N(l.known-applied))
	}
	l.say("%d is known to be agreed upon, up to %d is applied", l.known, l.replica.Applied())
}

// takeSnapshot takes one as the consensus does, or as the program does without it. The consensus then lets go of the log's front.
func (l *life) takeSnapshot() {
	applied := l.replica.Applied()
	if l.dice.IntN(3) == 0 {
		_, err := l.replica.DB().Checkpoint(context.Background())
		l.say("the program takes a snapshot of %d: %v", applied, err)
		require.NoError(l.t, err)
		return
	}
	state, err := l.replica.Snapshot()
	require.NoError(l.t, err)
	if l.dice.IntN(3) == 0 {
		l.applySome()
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	if l.dice.IntN(4) == 0 {
		end()
	}
	err = l.history.keep(ctx, state)
	l.say("the consensus takes a snapshot of %d: %v", applied, err)
	first, _ := l.log.Bounds()
	if err == nil && first < applied && l.dice.IntN(2) == 0 {
		to := first + l.dice.Uint64N(applied-first)
		l.say("let go of entries up to %d", to)
		require.NoError(l.t, l.DeleteRange(first, to))
	}
}

// install lets the leader send a snapshot of some entry that isn't applied.
func (l *life) install() {
	applied := l.replica.Applied()
	index := applied + 1 + l.dice.Uint64N(10)
	if index > lifeSnapshots || l.goesBack && l.same() < index { // The log would begin after it.
		return
	}
	for uint64(len(l.agreed)) < index {
		l.agreed = append(l.agreed, l.entry())
	}
	members := l.membersOf(l.agreed, index)
	servers, err := decodeMembers([]byte(l.agreed[members-1].members))
	require.NoError(l.t, err)
	snaps := &snapshots{history: l.history, watch: l.watch, incoming: filepath.Join(l.dir, incomingName)}
	into, err := snaps.Create(1, index, l.agreed[index-1].term, servers, members, nil)
	require.NoError(l.t, err)
	_, err = into.Write(l.texts[index-1])
	require.NoError(l.t, err)
	require.NoError(l.t, into.Close())
	ctx, end := context.WithCancel(context.Background())
	defer end()
	kept := l.same() >= index
	switch l.dice.IntN(5) {
	case 0:
		err = l.history.sent(snaps.received())
		l.say("a snapshot of %d is sent, and the node dies: %v", index, err)
		l.reopen()
		return
	case 1:
		end()
	case 2:
		l.fill(true, 1)
	}
	_, in, err := snaps.Open(into.ID())
	require.NoError(l.t, err)
	f := &fsm{ctx: ctx, replica: l.replica, snapshots: snaps, watch: l.watch, handedOn: l.replica.Applied, diverged: func() {}}
	err = f.Restore(in)
	require.NoError(l.t, in.Close())
	l.say("a snapshot of %d is installed, the same entry is here: %v: %v", index, kept, err)
	if l.replica.Applied() < index {
		require.Error(l.t, err)
		return
	}
	l.known = max(l.known, index)
	if !kept {
		l.own = append([]lifeEntry(nil), l.agreed[:index]...)
	}
	if first, last := l.log.Bounds(); err == nil && first <= last {
		require.NoError(l.t, l.DeleteRange(first, last), "as raft does after an install")
	}
}

// reopen closes the node and opens it, which is as if it had died: nothing is written at the end.
func (l *life) reopen() {
	require.NoError(l.t, l.replica.DB().Close())
	l.shelf = &shelf{t: l.t, dir: l.dir, segment: l.segment, kept: l.kept, disk: l.disk}
	require.NoError(l.t, l.open())
	l.began()
}

// began lets the parts of a node that was opened know the model.
func (l *life) began() {
	l.known = l.replica.Applied()
	l.committed = func() uint64 { return l.known }
	l.say("opened: up to %d is applied", l.known)
}

// damage removes or damages the newest snapshots. The store goes back to before them, or doesn't open where its log doesn't go so far back. Then
// the entry that it went back to may have no note, where the program took a snapshot of it.
func (l *life) damage() {
	places, err := l.history.ends.places()
	require.NoError(l.t, err)
	require.NoError(l.t, l.replica.DB().Close())
	for i, place := range places {
		if i > 0 && l.dice.IntN(2) == 0 {
			break
		}
		l.say("snapshot %d is lost", place.Offset)
		if l.dice.IntN(2) == 0 {
			require.NoError(l.t, os.Remove(place.Path))
		} else {
			require.NoError(l.t, os.WriteFile(place.Path, []byte("damaged"), 0o600))
		}
	}
	l.shelf = &shelf{t: l.t, dir: l.dir, segment: l.segment, kept: l.kept, disk: l.disk}
	if err := l.open(); err != nil {
		l.say("the store doesn't open: %v", err)
		l.over = true
		return
	}
	l.began()
	if l.known > 0 {
		_, err = l.history.meta("recovered", l.known, 0)
		l.over = errors.Is(err, errNoEntry)
	}
}

// membersOf returns the index of the last entry with members up to one, 0 where there is none.
func (l *life) membersOf(entries []lifeEntry, upTo uint64) uint64 {
	for ; upTo > 0; upTo-- {
		if entries[upTo-1].members != "" {
			return upTo
		}
	}
	return 0
}

func (l *life) check() {
	_, last := l.log.Bounds()
	require.EqualValues(l.t, len(l.own), last)
	require.Equal(l.t, l.membersOf(l.own, last), l.history.newest())
	if applied := l.replica.Applied(); applied > 0 {
		meta, err := l.history.meta("recovered", applied, 0)
		require.NoError(l.t, err)
		l.requireTrue(meta)
	}
	if l.dice.IntN(3) == 0 {
		l.say("the snapshots are listed")
		metas, err := l.history.noted()
		require.NoError(l.t, err)
		for _, meta := range metas {
			l.requireTrue(meta)
		}
		if first, _ := l.log.Bounds(); len(metas) > 0 {
			require.GreaterOrEqual(l.t, metas[0].Index+1, first, "a node that is sent a snapshot goes on with the log")
		}
	}
}

// requireTrue shows that what is known of an entry is what was agreed upon.
func (l *life) requireTrue(meta *raft.SnapshotMeta) {
	members := l.membersOf(l.agreed, meta.Index)
	require.Equal(l.t, members, meta.ConfigurationIndex, "as of %d", meta.Index)
	require.Equal(l.t, l.agreed[meta.Index-1].term, meta.Term, "of %d", meta.Index)
	require.Equal(l.t, l.agreed[members-1].members, string(raft.EncodeConfiguration(meta.Configuration)))
}
