package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
)

// Repair is a plan that makes a damaged store open again: what it does, what the store then holds, and what is lost. PlanRepair makes
// it, and nothing changes before Apply.
type Repair struct {
	Dir    string
	Damage []Violation  // What is wrong, as Check lists it. None is a sound store, for which there is nothing to do.
	Steps  []RepairStep // In the order in which they are done.
	Why    string       // Why no repair is possible, and the store must be restored from a backup; empty where one is.

	// What the store holds afterwards: the state after the commit Offset, and in the log the commits from First to Last.
	Offset      uint64
	First, Last uint64

	// What it loses: the commits from Offset+1 to LostTo, and more of which nothing is known where LostMore is set. Of them LostReadable can
	// still be read (Salvage). LostKeys are the keys that they write, as far as that can be read, each with the last commit that
	// does; where there are more than LostKeysMax, LostMoreKeys is set. Where no repair is possible, that is all that the log has.
	LostTo       uint64
	LostMore     bool
	LostReadable uint64
	LostKeys     []LostKey
	LostMoreKeys bool
	// The commits whose effects stay in the state, but which can't be read one by one any more: by DB.At, DB.Commits and Watch. Both are 0 if
	// there are none.
	HistoryFrom, HistoryTo uint64

	opts   Options
	remedy remedy
}

// LostKeysMax is how many keys Repair.LostKeys has at most.
const LostKeysMax = 1000

// LostKey is a key whose newest value a repair loses, or the range of a range delete that it loses.
type LostKey struct {
	Kind   MutationKind // What the lost commit does to it.
	Key    []byte
	End    []byte // Of a range.
	Offset uint64 // The commit.
	Guess  bool   // The commit is damaged, so the key may be, too.
}

// RepairAction says what a step of a repair does.
type RepairAction string

// What a step can do.
const (
	RepairRename   RepairAction = "rename"    // A file gets its own name, To.
	RepairMend     RepairAction = "mend"      // Bytes are put right without a loss.
	RepairCut      RepairAction = "cut"       // Bytes leave the log; a copy of them goes to To.
	RepairSnapshot RepairAction = "snapshot"  // A snapshot as of Offset is written.
	RepairGoOn     RepairAction = "go on"     // The log goes on after Offset.
	RepairStart    RepairAction = "start"     // The log starts over after Offset, which a snapshot shows.
	RepairSetAside RepairAction = "set aside" // A snapshot that can't be read goes to To.
)

// RepairStep is one step of a repair.
type RepairStep struct {
	Action   RepairAction
	Path     string
	Position int64 // In bytes.
	Bytes    int64
	To       string
	Offset   uint64
	Why      string
}

// PlanRepair says how to make a damaged store open again, and what that loses. It changes nothing and takes no lock. Of opts, Logger
// counts, and ArchiveDir, an archive of the store from which to take commits that are missing. The error says why there can be no plan:
// ErrNotStore, ErrVersion, ctx's, or one of the file system.
func PlanRepair(ctx context.Context, dir string, opts Options) (Repair, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return Repair{}, err
	}
	r, err := planRepair(ctx, dir, opts)
	if err != nil {
		return Repair{}, fmt.Errorf("kv: plan a repair of %s: %w", dir, err)
	}
	return r, nil
}

func planRepair(ctx context.Context, dir string, opts Options) (Repair, error) {
	r := Repair{Dir: dir, opts: opts}
	damage, err := findDamage(ctx, dir, opts)
	if err != nil || len(damage) == 0 {
		return r, err
	}
	r.Damage = damage
	w, err := survey(ctx, dir, opts)
	if err == nil {
		err = errors.Join(r.plan(ctx, w), w.close())
	}
	return r, err
}

// findDamage is Check without notices.
func findDamage(ctx context.Context, dir string, opts Options) (damage []Violation, err error) {
	found, err := Check(ctx, dir, opts)
	for _, violation := range found {
		if violation.Damage {
			damage = append(damage, violation)
		}
	}
	return damage, err
}

// plan decides, and says what that comes to.
func (r *Repair) plan(ctx context.Context, w *wreck) error {
	best, ok, err := w.best()
	if err != nil {
		return err
	}
	if !ok {
		r.Why, r.LostTo, r.LostMore = w.whyNot(), w.newest, w.unknown
		return r.findLost(ctx, w)
	}
	if best.log, err = w.planLog(best); err != nil {
		return err
	}
	r.remedy, r.Offset, r.First, r.Last = best, best.end, best.first(), best.end
	if r.addSteps(w, best); len(r.Steps) == 0 {
		r.Why = "nothing in it can be mended or cut" // Check and the plan disagree, which must not pass for a repair.
		return nil
	}
	r.LostTo, r.LostMore = max(w.newest, best.end), w.unknown
	for _, run := range w.runs {
		if to := min(run.to, r.First-1, r.Offset); to >= run.from {
			r.HistoryFrom, r.HistoryTo = cmp.Or(r.HistoryFrom, run.from), to
		}
	}
	return r.findLost(ctx, w)
}

// addSteps lists what Apply does.
func (r *Repair) addSteps(w *wreck, best remedy) {
	for _, f := range best.log.Fixes {
		action := RepairMend
		if f.To != "" {
			action = RepairRename
		}
		r.Steps = append(r.Steps, RepairStep{Action: action, Path: f.Path, Position: f.Position, Bytes: int64(len(f.Bytes)), To: f.To, Why: f.Why})
	}
	if best.write != 0 {
		path := snapshot.Path(w.inventory.dir, best.write)
		r.Steps = append(r.Steps, RepairStep{Action: RepairSnapshot, Path: path, Offset: best.write, Why: "the log can't show this state any more"})
	}
	for _, c := range best.log.Cuts {
		r.Steps = append(r.Steps, RepairStep{Action: RepairCut, Path: c.Path, Position: c.Position, Bytes: c.Bytes, To: c.Quarantine})
	}
	if best.log.Begins() {
		step := RepairStep{Action: RepairGoOn, Path: filepath.Join(w.dir, walName), Offset: best.end}
		if best.keep == 0 {
			step.Action = RepairStart
		}
		r.Steps = append(r.Steps, step)
	}
	for _, d := range w.damaged {
		r.Steps = append(r.Steps, RepairStep{
			Action: RepairSetAside, Path: d.Path, Bytes: d.Bytes, Offset: d.Offset, To: w.setAsidePath(d), Why: reasonOf(d.err),
		})
	}
}

// reasonOf returns what an error of damage says without the file's name.
func reasonOf(err error) string {
	var damage *CorruptError
	if errors.As(err, &damage) {
		return damage.Err.Error()
	}
	return err.Error()
}

// findLost lists the keys that are lost.
func (r *Repair) findLost(ctx context.Context, w *wreck) error {
	lost := map[string]int{}
	add := func(m Mutation, offset uint64, guess bool) {
		name := string(m.Key) + "\x00" + string(m.End)
		at, known := lost[name]
		if !known {
			if len(r.LostKeys) == LostKeysMax {
				r.LostMoreKeys = true
				return
			}
			at, lost[name] = len(r.LostKeys), len(r.LostKeys)
			r.LostKeys = append(r.LostKeys, LostKey{})
		}
		r.LostKeys[at] = LostKey{Kind: m.Kind, Key: m.Key, End: m.End, Offset: offset, Guess: guess}
	}
	for p, err := range w.pieces(ctx) {
		if err != nil {
			return err
		}
		if p.Offset <= r.Offset {
			continue
		}
		if p.Err == nil {
			r.LostReadable++
		}
		if checkEntry(p.Payload) != nil {
			continue
		}
		if _, err := visitEntry(p.Payload, func(m Mutation) { add(m.own(), p.Offset, p.Err != nil) }); err != nil {
			return err
		}
	}
	return nil
}

// Apply does what was planned, under the store's lock: ErrLocked is a store that is open. What it takes from the log or sets aside is in
// the store's directory quarantine, durably, before anything changes. A crash leaves the damage or the repaired store; planning again, and
// applying that, finishes. ErrChanged reports a store that isn't as it was when the repair was planned; nothing was changed then.
func (r Repair) Apply(ctx context.Context) error {
	if len(r.Steps) == 0 && r.Why == "" {
		return nil
	}
	if err := r.apply(ctx); err != nil {
		return fmt.Errorf("kv: repair %s: %w", r.Dir, noSpace(err))
	}
	return nil
}

func (r Repair) apply(ctx context.Context) (err error) {
	switch replicated, err := isReplica(r.Dir, r.opts); {
	case err != nil:
		return err
	case replicated:
		return fmt.Errorf("%w: its cluster has what it lacks; remove the directory, and let the node join again", ErrReplica)
	case r.Why != "":
		return fmt.Errorf("%w: %s", ErrCorrupt, r.Why)
	}
	lock, err := r.opts.fs.Lock(filepath.Join(r.Dir, lockName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	w, err := survey(ctx, r.Dir, r.opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	now := Repair{Dir: r.Dir, opts: r.opts}
	if err := now.plan(ctx, w); err != nil {
		return err
	}
	if now.Offset != r.Offset || now.LostTo != r.LostTo || !reflect.DeepEqual(now.Steps, r.Steps) {
		return ErrChanged
	}
	if err := w.carryOut(ctx, now.remedy); err != nil {
		return err
	}
	damage, err := findDamage(ctx, r.Dir, r.opts)
	if err == nil && len(damage) > 0 {
		err = fmt.Errorf("%w still: %v", ErrCorrupt, damage[0])
	}
	return err
}

// carryOut does the steps. The order makes each crash one that planning again survives: copies first; a snapshot before the log that had
// its commits; the log before the snapshots that contradict it.
func (w *wreck) carryOut(ctx context.Context, o remedy) error {
	for _, d := range w.damaged {
		if err := w.keepAside(d); err != nil {
			return err
		}
	}
	if o.write != 0 {
		if err := w.writeSnapshot(ctx, o); err != nil {
			return err
		}
	}
	if err := w.log.Apply(o.log); err != nil {
		return err
	}
	for _, d := range w.damaged {
		if d.Offset == o.write && o.write != 0 {
			continue // It has been replaced.
		}
		if err := snapshot.Remove(w.opts.fs, w.inventory.dir, d.Offset); err != nil {
			return err
		}
	}
	return nil
}

// setAsidePath is where a damaged snapshot goes. It takes the place of nothing that is there.
func (w *wreck) setAsidePath(d damagedSnapshot) string {
	entries, _ := w.opts.fs.List(filepath.Join(w.dir, quarantineName)) // What can't be listed can't be made there either.
	name := filepath.Base(d.Path)
	isThere := func(e vfs.Entry) bool { return e.Name == name }
	for n := 2; slices.ContainsFunc(entries, isThere); n++ {
		name = fmt.Sprintf("%s.%d", filepath.Base(d.Path), n)
	}
	return filepath.Join(w.dir, quarantineName, name)
}

// keepAside gives a damaged snapshot a second name in the quarantine, or copies it. It may be unreadable, so a name is better.
func (w *wreck) keepAside(d damagedSnapshot) error {
	fsys, to := w.opts.fs, w.setAsidePath(d)
	if err := fsys.MkdirAll(filepath.Dir(to)); err != nil {
		return err
	}
	if fsys.Link(d.Path, to) == nil {
		return fsys.SyncDir(filepath.Dir(to))
	}
	file, err := fsys.OpenRead(d.Path)
	if err != nil {
		return err
	}
	return errors.Join(vfs.WriteAs(fsys, to, io.NewSectionReader(file, 0, d.Bytes), true), file.Close())
}

// writeSnapshot makes the state of which the log is to let go, and writes it.
func (w *wreck) writeSnapshot(ctx context.Context, o remedy) error {
	s, err := w.stateAt(ctx, o)
	if err != nil {
		return err
	}
	opts := w.opts.stateSnapshot(&s.state.sum)
	opts.Replace = true
	head := snapshot.Header{ID: w.id, Kind: kindPairs, Offset: s.state.offset, Time: deadlineTime(s.time)}
	_, _, err = snapshot.Write(ctx, w.opts.fs, w.inventory.dir, head, opts, s.state.entries())
	return snapshotError(w.dir, err)
}

// stateAt makes the state as of the snapshot that is to be written.
func (w *wreck) stateAt(ctx context.Context, o remedy) (replayed, error) {
	quiet := func(Progress) {}
	w.opts.Indexes = nil
	b, err := w.inventory.find(ctx, o.base, quiet)
	if err != nil {
		return replayed{}, err
	}
	var sources []source
	if o.archived {
		sources = append(sources, archiveSource(w.opts, []string{w.opts.ArchiveDir}, w.id))
	}
	if o.run.to >= o.run.from {
		sources = append(sources, w.source(ctx, o.run))
	}
	return replay{sources: sources, to: target{offset: o.write}, report: quiet}.run(ctx, b.state, b.time)
}
