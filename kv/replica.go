package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/walnutkv/walnut/wal"
)

// Consensus decides in which order the nodes of a cluster commit. A Replica calls it from its own goroutines, as soon as it is open.
type Consensus interface {
	// Propose proposes a record as the payload of a command, and returns once what became of it is known here. Nil means that
	// Replica.Apply was called with it on this node: with the same memory, or the outcome is undecided. ErrNotLeader means that the
	// record isn't in any log and never will be. ErrConflict means that Apply refused it. Every other error, as ErrUndecided, means that
	// its fate is open. It must return at the latest when the consensus is shut down, and must not change the record, which it may keep.
	Propose(record []byte) error
	// Checkpoint is called when the log has grown enough that a snapshot is due, and again later where it returned an error. It
	// should lead to Snapshot.Keep, or to DB.Checkpoint, on this node. ctx ends when the store is closed.
	Checkpoint(ctx context.Context) error
}

// Replica is a store on one node of a cluster, where a consensus decides what is committed. The consensus' log is the store's log: it is
// kept in Log, and Apply gets its entries once they are agreed upon. The same entries make the same state on every node. Methods may be
// called concurrently; Apply and Install are for one goroutine at a time.
//
// An entry's offset is its index in the consensus' log. Entries that are no commits, and commits that were refused, keep their offsets and
// change nothing.
type Replica struct {
	db        *DB
	consensus Consensus
	log       ReplicaLog
	proposals proposals
}

// entryExtra is by how many bytes a record of a replica's log may be larger than the largest commit.
const entryExtra = 1 << 20

// OpenReplica opens the replica in a directory for a member of a cluster, or makes one where the directory is missing or empty. It shows
// what was known to be agreed upon when the last entry was written; the consensus applies what follows. Errors are those of Open, and
// ErrReplica where the directory has a store that is no replica, or is another member's. DB().Close closes it, after the consensus was
// shut down.
//
// These options are refused: ReadOnly and Follow, since Open reads a replica's directory; a Sync but SyncAlways; CheckpointOnClose.
func OpenReplica(dir string, opts Options, m Member, c Consensus) (*Replica, error) {
	opts, err := opts.withDefaults()
	if err == nil {
		err = errors.Join(m.check(), opts.checkReplicated())
	}
	if err == nil && c == nil {
		err = errors.New("kv: a replica needs a consensus")
	}
	if err != nil {
		return nil, err
	}
	opts.member, opts.replicated = &m, true
	db := newDB(dir, opts)
	r := &Replica{db: db, consensus: c}
	r.log.replica, r.proposals.wake = r, make(chan struct{}, 1)
	db.replica = r
	if err := db.start(context.Background()); err != nil {
		return nil, err
	}
	return r, nil
}

// checkReplicated refuses what a replica can't do.
func (o Options) checkReplicated() error {
	for _, refused := range []struct {
		option string
		set    bool
	}{
		{"ReadOnly", o.ReadOnly},
		{"Sync: another mode than SyncAlways", o.Sync != SyncAlways},
		{"CheckpointOnClose", o.CheckpointOnClose},
	} {
		if refused.set {
			return fmt.Errorf("kv: option %s: a replica can't have it", refused.option)
		}
	}
	return nil
}

// start lets commits be proposed.
func (r *Replica) start() {
	if r != nil {
		r.log.open()
		r.proposals.ended.Go(r.propose)
	}
}

// stop ends that. No commit is in progress any more.
func (r *Replica) stop() {
	if r != nil {
		r.proposals.stop(&r.db.mu)
	}
}

// DB returns the store. It reads as any other. Its commits are proposed, and return once they are decided and visible here: besides those
// of any store their errors are ErrNotLeader and ErrConflict, after which nothing was changed, and ErrUndecided. The function of an
// Update runs once; after ErrConflict the caller may run it again. What shows, also to Watch, At and backups, is what was applied.
func (r *Replica) DB() *DB { return r.db }

// Log returns the log, for the consensus.
func (r *Replica) Log() *ReplicaLog { return &r.log }

// Applied returns the offset of the last entry that was applied, or that a snapshot had.
func (r *Replica) Applied() uint64 { return r.db.Offset() }

// Wait waits until the entry with an offset is applied. The error is ErrClosed, or ctx's.
func (r *Replica) Wait(ctx context.Context, offset uint64) error {
	if err := r.db.visible.await(ctx, offset); err != nil {
		return fmt.Errorf("kv: wait for entry %d: %w", offset, err)
	}
	return nil
}

// moment returns what the acceptance rule needs to know of the visible state, and false once the store is closed. DB.mu is held, so that
// nothing else becomes visible.
func (r *Replica) moment() (seen moment, open bool) {
	v := &r.db.visible
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil {
		return moment{}, false
	}
	return moment{v.current.offset, v.current.made, v.current.accepted}, true
}

// Apply applies an entry that is agreed upon: what was given to Log as the data of a command, and on the node that proposed it, the same
// memory. Entries come in the order of their offsets and are in the log. Those that are no commands may be left out, or come with a nil
// record: then they count for Applied and Wait. An entry that was applied before changes nothing.
//
// ErrConflict is a commit that was refused. It is the same on every node, and no failure. Of other errors nothing was applied: ErrClosed,
// ErrOutOfRange for an entry that isn't in the log, ErrVersion for one of a newer program.
func (r *Replica) Apply(offset uint64, record []byte) error {
	db := r.db
	db.visible.overdue.Load().wait()
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := r.apply(offset, record); err != nil {
		return fmt.Errorf("kv: apply entry %d: %w", offset, err)
	}
	return nil
}

// apply is Apply with DB.mu held.
func (r *Replica) apply(offset uint64, record []byte) error {
	seen, open := r.moment()
	if !open {
		return ErrClosed
	}
	if last := r.db.log.Last(); offset > last {
		return fmt.Errorf("%w: the log ends with %d", ErrOutOfRange, last)
	}
	if offset <= seen.offset {
		return nil
	}
	e, err := r.look(record)
	if err != nil {
		return err
	}
	next, accepted := seen.after(offset, &e)
	if err := r.show(record, &e, next, accepted); err != nil {
		return err
	}
	r.db.checkpoints.grew(len(record))
	if !accepted && e.isCommit() {
		return fmt.Errorf("%w: it was made on %d, the last is %d", ErrConflict, e.base, seen.accepted)
	}
	return nil
}

// look returns the entry with a command's payload, as the log has it: what is no proposal is no commit.
func (r *Replica) look(record []byte) (e entry, err error) {
	if r.proposals.owns(record) {
		return readEntry(record) // It was made here.
	}
	e, err = readProposal(record)
	switch {
	case err == nil:
		return e, nil
	case errors.Is(err, ErrVersion):
		return e, err
	}
	return entry{decided: true}, nil
}

// show makes an entry visible that the rule has judged, and settles the proposal that it is. DB.mu is held.
func (r *Replica) show(record []byte, e *entry, next moment, accepted bool) error {
	db, ps := r.db, &r.proposals
	own := ps.flying
	if !ps.owns(record) {
		own = nil
	}
	isNext := own != nil && !own.detached // Its layer is the first one, and all others are on top of it.
	l := &layer{}
	switch {
	case accepted && isNext:
		l, db.layers = &own.layer, db.layers[1:]
	case accepted:
		_, mutations, err := decodeRecord(e.mutations, nil)
		if err != nil {
			return err
		}
		l.decoded = mutations
	}
	l.offset, l.accepted, l.made = next.offset, next.accepted, next.time
	if l.state != nil {
		l.state.offset, l.state.accepted, l.state.made = l.offset, l.accepted, l.made
	}
	db.clock.goesOnFrom(next.time) // Before it shows, so that a pair which a sweep found expired has expired here, too.
	if accepted != isNext {
		r.giveUp(ErrConflict)
	}
	db.visible.mu.Lock()
	db.visible.show(l)
	db.visible.mu.Unlock()
	switch {
	case own == nil:
	case accepted:
		ps.woke(own)
		r.end(own, next.offset, nil)
	default:
		r.end(own, 0, fmt.Errorf("kv: commit refused, nothing was changed: %w", ErrConflict))
	}
	return nil
}

// goOnFrom makes the log of a replica go on where a snapshot that it was sent ends. A log that ends before a snapshot is no damage: all
// that the snapshot has was agreed upon. It is damage where another one than the newest has to be the base.
func (db *DB) goOnFrom(b base) error {
	if !db.opts.replicated {
		return nil
	}
	places, err := db.snapshots.list()
	if err != nil || len(places) == 0 || places[0].Offset <= db.log.Last() {
		return err
	}
	if places[0].Offset > b.offset {
		return errors.Join(logEnds(places[0], db.log.Last()), errors.Join(skippedErrors(b.skipped)...))
	}
	if db.opts.ReadOnly {
		return nil
	}
	return db.log.Reset(b.offset + 1)
}

func skippedErrors(skipped []SkippedSnapshot) (errs []error) {
	for _, s := range skipped {
		errs = append(errs, s.Err)
	}
	return errs
}

// committedIn returns up to which offset a replica's log is known to be agreed upon: its last entry says so.
func committedIn(dir string, log *wal.Log) (uint64, error) {
	last := log.Last()
	if last < log.First() {
		return 0, nil
	}
	record, err := log.Read(last)
	if err != nil {
		return 0, err
	}
	e, err := readEntry(record)
	if err == nil && !e.decided {
		err = fmt.Errorf("%w: it is a commit of a store that is no replica", errDecision)
	}
	if err != nil {
		return 0, undecodable(segmentPath(dir, log.Segments(), last), last, err)
	}
	return min(e.committed, last), nil
}
