package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// archiveMarker is the file that says that a store has an archive.
const archiveMarker = "ARCHIVE"

func newWalRepair(a *app) *cobra.Command {
	var apply bool
	var archive string
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Plan the repair of a damaged store, and carry it out",
		Long: `repair says how a damaged store can be made to open again, and changes nothing:
what it would keep, what it would cut and where the cut bytes go, and which
commits and keys that loses. Keys are listed as far as they can still be read.

With --apply it does what it says, under the store's lock. A copy of everything
that it cuts is in the store's directory quarantine before anything changes. If
it is interrupted, run it again: it goes on.

It keeps the latest state that can be made of what is left: of the snapshots,
the log, and with --archive the store's archive. Where nothing that is left
makes a state, it names the command that restores a backup.

Damage that is only planned for, or can't be repaired, makes the exit code 4. A
sound store needs nothing, and the exit code is 0.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store wal repair
  kvctl --dir store wal repair --apply
  kvctl --dir store wal repair --apply -o json`,
		Args: asUsed,
	}
	cmd.Flags().BoolVar(&apply, "apply", false, "carry the plan out")
	cmd.Flags().StringVar(&archive, "archive", "", "the store's archive, to take missing commits from")
	completeDirectory(cmd, "archive")
	cmd.PreRunE = notEmpty("archive")
	cmd.RunE = a.starts(func([]string) error { return a.repair(apply, archive) })
	return cmd
}

func (a *app) repair(apply bool, archive string) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	opts, err := a.options(forWriting, io.Discard)
	if err != nil {
		return err
	}
	opts.ArchiveDir = archive
	ctx, stop := interruptible()
	defer stop()
	plan, err := kv.PlanRepair(ctx, dir, opts)
	if err != nil {
		return whyEnded(ctx, err)
	}
	p := repairPrinter{app: a, plan: plan, archive: archive}
	err = p.printPlan()
	if apply && err == nil {
		err = a.stdout.Flush() // So that what is done is known should this process die.
	}
	switch {
	case apply && errors.Is(err, syscall.EPIPE):
		return errors.New("wal repair: standard output was closed before the plan was written; nothing was changed")
	case err == nil && apply && plan.Why == "":
		a.done = "the repair is done"
		err = a.applyRepair(ctx, plan)
	}
	if err != nil {
		return err
	}
	if err := p.printSummary(apply && plan.Why == ""); err != nil {
		return err
	}
	return p.whatNext(apply)
}

// applyRepair carries a plan out.
func (a *app) applyRepair(ctx context.Context, plan kv.Repair) error {
	err := plan.Apply(ctx)
	switch {
	case errors.Is(err, kv.ErrChanged):
		return fmt.Errorf("wal repair: the store has changed meanwhile, nothing was done; plan again: %s", a.commandLine("wal repair"))
	case errors.Is(err, kv.ErrNoSpace):
		return fmt.Errorf("%w; nothing is lost: make room for a copy of what is cut, %d bytes, and run it again", err, cutBytes(plan))
	}
	return whyEnded(ctx, err)
}

// cutBytes returns how many bytes a plan copies to the quarantine.
func cutBytes(plan kv.Repair) (bytes int64) {
	for _, step := range plan.Steps {
		if step.Action == kv.RepairCut {
			bytes += step.Bytes
		}
	}
	return bytes
}

// repairPrinter prints a plan.
type repairPrinter struct {
	app     *app
	plan    kv.Repair
	archive string
}

// whatNext returns the error that names the next command; nil if there is nothing left to do.
func (p repairPrinter) whatNext(applied bool) error {
	switch {
	case p.plan.Why != "":
		return damageFoundError{fmt.Sprintf("wal repair: no repair is possible: %s; %s", p.plan.Why, p.restoreCommand()+p.whatIsLeft())}
	case len(p.plan.Damage) == 0 || applied:
		return nil
	}
	return damageFoundError{fmt.Sprintf("wal repair: %s; nothing was changed; repair it: %s",
		damagedPlaces(p.plan.Dir, len(p.plan.Damage)), p.command("--apply"))}
}

// whatIsLeft names the command that shows the commits of a store that can't be repaired.
func (p repairPrinter) whatIsLeft() string {
	if p.plan.LostReadable == 0 {
		return ""
	}
	return fmt.Sprintf("; %d %s can still be read: %s", p.plan.LostReadable, plural(int(p.plan.LostReadable), "commit"),
		p.app.commandLine("wal dump --past-damage"))
}

// command returns the command that makes this plan again, with one more flag.
func (p repairPrinter) command(flag string) string {
	if p.archive != "" {
		flag += " --archive " + shellQuote(p.archive)
	}
	return p.app.commandLine("wal repair " + flag)
}

// restoreCommand returns what is left to try. The log can be read with a backup unless a file of it is damaged.
func (p repairPrinter) restoreCommand() string {
	dir, tries := p.plan.Dir, ""
	if _, err := os.Stat(filepath.Join(dir, archiveMarker)); err == nil && p.archive == "" {
		tries = "with the store's archive: " + p.app.commandLine("wal repair --archive ARCHIVE") + "; "
	}
	command := "kvctl --dir " + shellQuote(filepath.Clean(dir)+".restored") + " restore BACKUP"
	log := filepath.Join(dir, "wal")
	sound := true
	for _, damage := range p.plan.Damage {
		sound = sound && (damage.Path == log || isOutside(damage.Path, log))
	}
	if sound {
		command += " --archive " + shellQuote(log)
	}
	return tries + "restore a backup: " + command
}

// stepText says in words what a step does.
func stepText(s kv.RepairStep) string {
	switch s.Action {
	case kv.RepairRename:
		return fmt.Sprintf("rename     %s to %s: %s", s.Path, s.To, s.Why)
	case kv.RepairMend:
		return fmt.Sprintf("mend       %s at position %d, %d %s: %s", s.Path, s.Position, s.Bytes, plural(int(s.Bytes), "byte"), s.Why)
	case kv.RepairCut:
		return fmt.Sprintf("cut        %s from position %d, %d %s, kept in %s", s.Path, s.Position, s.Bytes, plural(int(s.Bytes), "byte"), s.To)
	case kv.RepairSnapshot:
		return fmt.Sprintf("snapshot   %s, as of commit %d: %s", s.Path, s.Offset, s.Why)
	case kv.RepairGoOn:
		return fmt.Sprintf("go on      the log goes on after commit %d", s.Offset)
	case kv.RepairStart:
		return fmt.Sprintf("start      the log starts over after commit %d, which a snapshot shows", s.Offset)
	case kv.RepairSetAside:
		return fmt.Sprintf("set aside  %s, kept in %s: %s", s.Path, s.To, s.Why)
	}
	return string(s.Action)
}

// printPlan prints the damage, what is done about it, and what is lost.
func (p repairPrinter) printPlan() error {
	if p.app.wantsJSON() {
		return p.printPlanJSON()
	}
	for _, damage := range p.plan.Damage {
		if err := p.app.printViolation(damage); err != nil {
			return err
		}
	}
	w := p.app.stdout
	for _, step := range p.plan.Steps {
		fmt.Fprintln(w, stepText(step))
	}
	if len(p.plan.Damage) == 0 || p.plan.Why != "" {
		return nil
	}
	fmt.Fprintf(w, "keeps      the state as of commit %d", p.plan.Offset)
	if p.plan.Last >= p.plan.First {
		fmt.Fprintf(w, ", and in the log commits %d to %d", p.plan.First, p.plan.Last)
	}
	fmt.Fprintln(w)
	for _, line := range p.losses() {
		fmt.Fprintf(w, "loses      %s\n", line)
	}
	return p.printKeys()
}

// losses says what is lost, a line each; at least one line.
func (p repairPrinter) losses() (lines []string) {
	r := p.plan
	switch {
	case r.LostTo > r.Offset && r.LostMore:
		lines = append(lines, fmt.Sprintf("commits %d to %d, and any after them of which nothing is left", r.Offset+1, r.LostTo))
	case r.LostTo > r.Offset:
		lines = append(lines, fmt.Sprintf("commits %d to %d", r.Offset+1, r.LostTo))
	case r.LostMore:
		lines = append(lines, fmt.Sprintf("any commits after %d: nothing of them is left", r.Offset))
	}
	if r.LostReadable > 0 {
		command := p.app.commandLine(fmt.Sprintf("wal dump --past-damage --from %d", r.Offset+1))
		lines[len(lines)-1] += fmt.Sprintf("; %d of them can be read until the repair: %s", r.LostReadable, command)
	}
	if r.HistoryTo > 0 {
		lines = append(lines, fmt.Sprintf("history: what commits %d to %d wrote stays, but they can't be read one by one", r.HistoryFrom, r.HistoryTo))
	}
	if len(lines) == 0 {
		lines = append(lines, "nothing")
	}
	return lines
}

// keysShown is how many lost keys text output lists. JSON has all that are known.
const keysShown = 20

func (p repairPrinter) printKeys() error {
	keys := p.plan.LostKeys
	for _, key := range keys[:min(len(keys), keysShown)] {
		line := fmt.Appendf(nil, "lost       %s\t", key.Kind)
		line = p.app.enc().appendText(line, key.Key)
		if key.Kind == kv.MutationDeleteRange {
			line = p.app.enc().appendText(append(line, '\t'), key.End)
		}
		line = fmt.Appendf(line, "\tcommit %d", key.Offset)
		if key.Guess {
			line = append(line, ", which is damaged"...)
		}
		if _, err := p.app.stdout.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if more := len(keys) - keysShown; more > 0 || p.plan.LostMoreKeys {
		_, err := fmt.Fprintf(p.app.stdout, "lost       and more: %s\n", p.command("-o json"))
		return err
	}
	return nil
}

func (p repairPrinter) printSummary(applied bool) error {
	if p.app.wantsJSON() {
		return p.printSummaryJSON(applied)
	}
	text := "nothing was changed"
	switch {
	case len(p.plan.Damage) == 0:
		text = "no damage, nothing to do"
	case applied:
		text = fmt.Sprintf("repaired, as of commit %d", p.plan.Offset)
	case p.plan.Why != "":
		text = "no repair is possible: " + p.plan.Why
	}
	_, err := fmt.Fprintf(p.app.stdout, "%s: %s\n", p.plan.Dir, text)
	return err
}
