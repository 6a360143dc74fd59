package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// testCluster is the identity of the clusters of tests.
var testCluster = [16]byte{'t', 'e', 's', 't'}

// The kinds of entries in tests.
const (
	kindCommand = 0
	kindNoOp    = 1
)

// parliament is a consensus of some nodes in memory, with the rules of Raft and none of its machinery: what arrives, when, and who leads
// is left to the dice. One lock makes each step whole. A node that was deposed goes on to believe that it leads until it hears otherwise.
type parliament struct {
	t      *testing.T
	replay string
	steady bool // Everything arrives at once.

	mu       sync.Mutex
	dice     *rand.Rand
	seats    []*seat
	term     uint64
	agreed   map[uint64]Entry // What was agreed upon, by offset.
	refused  map[uint64]bool  // Whether Apply refused it.
	installs int
	backups  []backup
	events   []string // What happened.
}

// say notes what happens, for the report of a failure.
func (s *seat) say(format string, values ...any) {
	s.events = append(s.events, fmt.Sprintf("node %d, term %d, leads %v, agreed %d, last %d, applied %d: %s",
		s.number, s.term, s.leads, s.committed, s.last(), s.replica.Applied(), fmt.Sprintf(format, values...)))
}

// seat is one node. A node that was restarted has another one.
type seat struct {
	*parliament
	number    int
	mem       *vfs.Mem
	replica   *Replica
	dead      bool
	leads     bool // Or believes so.
	term      uint64
	committed uint64
	proposed  map[uint64]*ballot // By offset.
}

// ballot is a record that waits for its outcome.
type ballot struct {
	term    uint64
	record  []byte
	outcome chan error // Has room for one; nil once it was answered.
}

func (b *ballot) answer(err error) {
	if b.outcome != nil {
		b.outcome <- err
		b.outcome = nil
	}
}

func newParliament(t *testing.T, seed uint64, nodes int) *parliament {
	p := &parliament{
		t: t, replay: fmt.Sprintf("seed %d", seed), dice: rand.New(rand.NewPCG(seed, 16)),
		agreed: map[uint64]Entry{}, refused: map[uint64]bool{},
	}
	for i := range nodes {
		p.seats = append(p.seats, p.sit(i, vfs.NewMem(), 0))
	}
	return p
}

// sit opens a node on a disk.
func (p *parliament) sit(number int, mem *vfs.Mem, term uint64) *seat {
	s := &seat{parliament: p, number: number, mem: mem, term: term, proposed: map[uint64]*ballot{}}
	opts := memOptions(mem)
	opts.CheckpointFactor, opts.SnapshotsKept = -1, 1+number%2
	if number > 0 {
		opts.ArchiveDir = replicaArchive
	}
	r, err := OpenReplica(storeDir, opts, Member{testCluster, fmt.Sprint("node ", number)}, s)
	require.NoError(p.t, err, p.replay)
	s.replica, s.committed = r, r.Applied()
	return s
}

// Propose implements Consensus.
func (s *seat) Propose(record []byte) error {
	s.mu.Lock()
	if s.dead || !s.leads || s.t.Failed() {
		defer s.mu.Unlock()
		if s.dead || s.t.Failed() {
			return ErrUndecided
		}
		return fmt.Errorf("node %d: %w", s.number, ErrNotLeader)
	}
	outcome := make(chan error, 1)
	offset := s.append(Entry{Kind: kindCommand, Data: record})
	s.proposed[offset] = &ballot{s.term, record, outcome}
	if s.steady || s.dice.IntN(4) > 0 {
		s.replicate()
	}
	s.mu.Unlock()
	return <-outcome
}

// Checkpoint implements Consensus.
func (s *seat) Checkpoint(ctx context.Context) error {
	_, err := s.replica.DB().Checkpoint(ctx)
	return err
}

func (s *seat) last() uint64 {
	_, last := s.replica.Log().Bounds()
	return last
}

// append appends an entry of the seat's own and returns its offset.
func (s *seat) append(e Entry) uint64 {
	e.Offset, e.Term = s.last()+1, s.term
	s.say("append %d %d", e.Offset, e.Kind)
	assert.NoError(s.t, s.replica.Log().Append(s.committed, []Entry{e}), s.replay)
	return e.Offset
}

// termOf returns the term of an entry of a seat's log, or of its snapshot.
func (s *seat) termOf(offset uint64) uint64 {
	if offset == 0 {
		return 0
	}
	if e, err := s.replica.Log().Read(offset); err == nil {
		return e.Term
	}
	return s.agreed[offset].Term // The log begins after it.
}

// replicate sends what a leader has to the other nodes, each of which it may not reach, and commits and applies what most have then.
func (s *seat) replicate() {
	have, last := 1, s.last()
	for _, other := range s.seats {
		if other != s && !other.dead && s.leads && (s.steady || s.dice.IntN(4) > 0) && s.send(other) {
			have++
		}
	}
	if !s.leads || 2*have <= len(s.seats) || s.termOf(last) != s.term {
		return
	}
	for offset := s.committed + 1; offset <= last; offset++ {
		e, err := s.replica.Log().Read(offset)
		assert.NoError(s.t, err, s.replay)
		if before, found := s.agreed[offset]; found {
			assert.Equal(s.t, before, e, "%s: agreed upon twice", s.replay)
		}
		s.agreed[offset] = e
	}
	s.committed = last
	if s.steady || s.dice.IntN(4) > 0 {
		s.apply(last)
	}
}

// send makes another node's log a leader's. It reports whether the other takes it for its leader.
func (s *seat) send(other *seat) bool {
	if other.term > s.term {
		s.leads = false
		return false
	}
	s.say("send to %d: last %d committed %d", other.number, other.last(), other.committed)
	other.leads, other.term = other.leads && other.term == s.term, s.term
	match := min(other.last(), s.last())
	for match > other.committed && s.termOf(match) != other.termOf(match) {
		match--
	}
	log := other.replica.Log()
	if first, _ := s.replica.Log().Bounds(); first > match+1 || !s.steady && match < s.replica.Applied() && s.dice.IntN(10) == 0 {
		return s.install(other)
	}
	assert.NoError(s.t, log.DropBack(max(match, other.committed)), s.replay)
	other.forget(match)
	s.say("match %d", match)
	var entries []Entry
	for offset := match + 1; offset <= s.last(); offset++ {
		e, err := s.replica.Log().Read(offset)
		assert.NoError(s.t, err, s.replay)
		entries = append(entries, e)
	}
	known := min(s.committed, s.last())
	assert.NoError(s.t, log.Append(max(other.committed, known), entries), s.replay)
	other.committed = max(other.committed, known)
	return true
}

// forget says of proposals whose entries were cut that their fate is open, as a consensus does which has lost its leadership.
func (s *seat) forget(last uint64) {
	for offset, b := range s.proposed {
		if offset > last {
			b.answer(ErrUndecided)
			delete(s.proposed, offset)
		}
	}
}

// install sends another node the leader's state.
func (s *seat) install(other *seat) bool {
	var state bytes.Buffer
	pinned, err := s.replica.Snapshot()
	assert.NoError(s.t, err, s.replay)
	offset := pinned.Offset()
	_, err = pinned.WriteTo(&state)
	assert.NoError(s.t, err, s.replay)
	if offset <= other.replica.Applied() {
		return false
	}
	at, err := other.replica.Install(context.Background(), &state)
	assert.NoError(s.t, err, s.replay)
	assert.Equal(s.t, offset, at, s.replay)
	other.committed = max(other.committed, offset)
	other.forget(0)
	s.installs++
	s.say("installed %d in %d", offset, other.number)
	return s.last() == offset // Otherwise it lacks what follows.
}

// apply applies what is agreed upon, up to an offset.
func (s *seat) apply(to uint64) {
	s.say("apply to %d", to)
	for offset := s.replica.Applied() + 1; offset <= min(to, s.committed); offset++ {
		e, err := s.replica.Log().Read(offset)
		assert.NoError(s.t, err, s.replay)
		assert.Equal(s.t, s.agreed[offset], e, "%s: node %d", s.replay, s.number)
		b := s.proposed[offset]
		if b != nil && b.term == e.Term {
			assert.Equal(s.t, b.record, e.Data, s.replay)
			e.Data = b.record
		}
		if e.Kind != kindCommand {
			e.Data = nil
		}
		err = s.replica.Apply(offset, e.Data)
		s.note(offset, err)
		if b != nil && b.term == e.Term {
			b.answer(err)
			delete(s.proposed, offset)
		}
		if s.dice.IntN(8) == 0 { // It comes twice.
			assert.NoError(s.t, s.replica.Apply(offset, bytes.Clone(e.Data)), s.replay)
		}
	}
}

// note requires that every node says the same of an entry.
func (s *seat) note(offset uint64, err error) {
	conflict := errors.Is(err, ErrConflict)
	if !conflict {
		assert.NoError(s.t, err, s.replay)
	}
	if before, found := s.refused[offset]; found {
		assert.Equal(s.t, before, conflict, "%s: node %d, entry %d", s.replay, s.number, offset)
	}
	s.refused[offset] = conflict
}

// elect lets a node stand for election. It wins where most nodes that hear of it have no more than it.
func (s *seat) elect() bool {
	s.parliament.term++
	s.term = s.parliament.term
	votes, last := 1, s.last()
	for _, other := range s.seats {
		if other == s || other.dead || !s.steady && s.dice.IntN(3) == 0 {
			continue
		}
		mine, theirs := s.termOf(last), other.termOf(other.last())
		if other.term < s.term && (mine > theirs || mine == theirs && last >= other.last()) {
			other.term, other.leads = s.term, false
			votes++
		}
	}
	if s.leads = 2*votes > len(s.seats); !s.leads {
		return false
	}
	s.append(Entry{Kind: kindNoOp, Data: []byte("no-op")})
	if s.steady || s.dice.IntN(2) == 0 {
		s.replicate()
	}
	return true
}

// restart ends a node, as a power cut or a clean end does, and opens it again.
func (p *parliament) restart(number int) {
	p.mu.Lock()
	old := p.seats[number]
	old.dead, old.leads = true, false
	old.forget(0)
	policy := vfs.Policy(p.dice.IntN(10))
	mem, seed, cut := old.mem, p.dice.Uint64(), p.dice.IntN(2) == 0
	if cut {
		mem = mem.Crash(seed, policy)
	}
	p.mu.Unlock()
	assert.NoError(p.t, old.replica.DB().Close(), p.replay)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seats[number] = p.sit(number, mem, old.term)
	p.seats[number].say("restarted, cut %v", cut)
}

// settle lets every node have and apply everything, and ends with a leader.
func (p *parliament) settle() *seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steady = true
	for !p.t.Failed() {
		for _, s := range p.seats {
			if !s.elect() {
				continue
			}
			for range 3 { // A state that is installed lacks what follows it.
				s.replicate()
			}
			for _, other := range p.seats {
				other.apply(other.committed)
				other.forget(0)
			}
			return s
		}
	}
	return p.seats[0]
}

// release lets go of every proposal that waits, and takes no more.
func (p *parliament) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.seats {
		s.dead = true
		s.forget(0)
	}
}

// close ends all nodes, and checks what they leave.
func (p *parliament) close() {
	p.release()
	for _, s := range p.seats {
		assert.NoError(p.t, s.replica.DB().Close(), p.replay)
		requireSound(p.t, storeDir, memOptions(s.mem))
	}
}
