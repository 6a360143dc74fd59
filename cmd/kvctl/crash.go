package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newCrashTest(a *app) *cobra.Command {
	var rounds int
	var seed uint64
	cmd := &cobra.Command{
		Use:   "crash-test",
		Short: "Kill a writer again and again, and check what is left",
		Long: `crash-test shows whether this machine keeps Walnut's promises when a process
dies. In each round a child process writes to a store in --dir with four
writers, and is killed with SIGKILL at a random instant, while it opens the
store or later. Then the store is opened and checked:

  P1  what was acknowledged is there
  P2  so is what a reader saw
  P3  each commit is there wholly, or not at all
  P4  no commit is missing before one that is there

and every byte of it is read, as check does. An acknowledgement counts once the
child has reported it through a pipe. What a power cut can take isn't tested:
the system keeps running, and has the bytes of a killed process.

The directory must be new or empty. It is left as it was, unless a promise was
broken: then it is kept, each violation is a line, and the exit code is 4. The
seed decides what is written and when the child is killed; the system decides
what it is doing at that instant, so a replay may need more rounds.`,
		Example: `  kvctl --dir crashes crash-test --rounds 3
  kvctl --dir crashes crash-test --rounds 3 --seed 7 --sync interval -o json`,
		Args: asUsed,
	}
	cmd.Flags().IntVar(&rounds, "rounds", 100, "how many processes are killed")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "the seed of an earlier run (default a new one)")
	cmd.RunE = a.starts(func([]string) error {
		if rounds < 1 {
			return usagef("crash-test: --rounds %d: want 1 or more", rounds)
		}
		if !cmd.Flags().Changed("seed") {
			seed = uint64(rand.Uint32())
		}
		return a.crashTest(rounds, seed)
	})
	return cmd
}

func (a *app) crashTest(rounds int, seed uint64) (err error) {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("crash-test: %w", err)
	}
	made, err := takeEmptyDir(dir)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	c := &crashTest{app: a, ctx: ctx, dir: dir, program: program, random: rand.New(rand.NewPCG(seed, 0))}
	c.seed = seed
	fmt.Fprintf(a.stderr, "seed %d; to replay: %s\n", seed, c.replay(rounds))
	violations, err := c.run(rounds)
	return c.finish(rounds, made, violations, err)
}

// finish removes the store, unless it shows a violation, and prints the outcome.
func (c *crashTest) finish(rounds int, made bool, violations []crashViolation, err error) error {
	if len(violations) == 0 {
		err = errors.Join(err, removeStore(c.dir, made))
	}
	if err != nil {
		return fmt.Errorf("crash-test: %w", err)
	}
	return c.print(rounds, violations)
}

// takeEmptyDir makes the directory where it is missing, and refuses one that holds anything.
func takeEmptyDir(dir string) (made bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return true, os.Mkdir(dir, 0o700)
	case err != nil:
		return false, err
	case len(entries) > 0:
		return false, fmt.Errorf("crash-test: %s is not empty: %s is in it; name a new or an empty directory", dir, entries[0].Name())
	}
	return false, nil
}

// removeStore removes the store in a directory, and the directory if crash-test made it. Other files
// stay: they came there meanwhile.
func removeStore(dir string, made bool) (err error) {
	for _, name := range []string{"wal", snapshotDirectory, "quarantine", "LOCK"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
	}
	if err == nil && made {
		err = os.Remove(dir)
	}
	return err
}

// crashTest kills workers in rounds. The embedded round is the last one.
type crashTest struct {
	app     *app
	ctx     context.Context
	dir     string
	program string // What a worker runs: kvctl.
	random  *rand.Rand

	crashRound
	killed, opening int    // The workers killed, and those of them before they had the store open.
	acknowledged    uint64 // The commits acknowledged in all rounds.
}

// run returns the violations of the first round that has any.
func (c *crashTest) run(rounds int) ([]crashViolation, error) {
	bar := c.newBar(rounds)
	for range rounds {
		if err := c.kill(); err != nil {
			return nil, err
		}
		violations, err := c.judge(c.random.IntN(2) == 0)
		if err != nil || len(violations) > 0 {
			return violations, err
		}
		if bar != nil {
			_ = bar.Add(1) // A bar that can't be drawn is no reason to end.
		}
	}
	if bar != nil {
		_ = bar.Exit()
		fmt.Fprintln(c.app.stderr)
	}
	return nil, nil
}

// newBar returns nil if standard error is not a terminal.
func (c *crashTest) newBar(rounds int) *progressbar.ProgressBar {
	if !isTerminal(c.app.stderr) {
		return nil
	}
	return newBar(c.app.stderr, int64(rounds), progressbar.OptionSetDescription("kills"), progressbar.OptionShowCount())
}

// judge opens the store and returns what the round broke. A store that is opened for reading only is left to the next worker to
// recover.
func (c *crashTest) judge(readOnly bool) ([]crashViolation, error) {
	c.after = crashState{}
	opts, err := c.app.crashOptions(io.Discard)
	if err != nil {
		return nil, err
	}
	opts.ReadOnly = readOnly
	opts.CheckpointFactor = -1 // The next worker is to start from the log that this one has left.
	db, err := kv.OpenContext(c.ctx, c.dir, opts)
	switch {
	case c.ctx.Err() != nil:
		return nil, errInterrupted
	case errors.Is(err, kv.ErrNotStore):
		// The worker was killed before there was a store. If it had acknowledged anything, the judge finds that missing.
	case errors.Is(err, kv.ErrCorrupt):
		return []crashViolation{{"P5", fmt.Sprintf("the store refuses to open: %v", err)}}, nil
	case err != nil:
		return nil, err
	default:
		c.after, err = readCrashState(db)
		if err = errors.Join(err, db.Close()); err != nil {
			return nil, err
		}
	}
	violations := c.violations()
	c.acknowledged += uint64(len(c.acked))
	damage, err := c.checkBytes()
	return append(violations, damage...), err
}

// checkBytes reads every byte of the store.
func (c *crashTest) checkBytes() (damage []crashViolation, err error) {
	found, err := kv.Check(c.ctx, c.dir, kv.Options{})
	if c.ctx.Err() != nil {
		return nil, errInterrupted
	}
	if errors.Is(err, kv.ErrNotStore) {
		return nil, nil
	}
	for _, violation := range found {
		if violation.Damage {
			damage = append(damage, crashViolation{"P5", fmt.Sprintf("%s at position %d: %s", violation.Path, violation.Position,
				violation.Problem)})
		}
	}
	return damage, err
}

// replay returns the command that runs the same rounds again.
func (c *crashTest) replay(rounds int) string {
	return c.app.commandLine(fmt.Sprintf("crash-test --rounds %d --seed %d --sync %s", rounds, c.seed, c.app.sync.value))
}

// crashTestJSON is the summary as JSON output has it.
type crashTestJSON struct {
	Kind         string `json:"kind"`
	Seed         uint64 `json:"seed"`
	Sync         string `json:"sync"`
	Rounds       int    `json:"rounds"`
	Killed       int    `json:"killed"`
	Opening      int    `json:"opening"`
	Acknowledged uint64 `json:"acknowledged"`
	Offset       uint64 `json:"offset"`
	Violations   int    `json:"violations"`
}

// print writes the violations and the summary. A violation is the outcome also where it can't be written.
func (c *crashTest) print(rounds int, violations []crashViolation) error {
	var err error
	for _, violation := range violations {
		err = errors.Join(err, c.printViolation(violation))
	}
	if c.app.wantsJSON() {
		err = c.app.printJSON(crashTestJSON{
			kindCrashTest, c.seed, c.app.sync.value, rounds, c.killed, c.opening, c.acknowledged, c.after.offset, len(violations),
		})
	} else {
		_, err = fmt.Fprintf(c.app.stdout, "%d %s killed, %d of them before the store was open; %d commits acknowledged; %d %s\n",
			c.killed, plural(c.killed, "worker"), c.opening, c.acknowledged, len(violations), plural(len(violations), "violation"))
	}
	if len(violations) == 0 {
		return err
	}
	return damageFoundError{fmt.Sprintf("crash-test: round %d broke a promise; %s is kept; to replay: %s", c.killed, c.dir, c.replay(rounds))}
}

func (c *crashTest) printViolation(v crashViolation) error {
	if c.app.wantsJSON() {
		return c.app.printJSON(struct {
			Kind    string `json:"kind"`
			Round   int    `json:"round"`
			Promise string `json:"promise"`
			Problem string `json:"problem"`
		}{kindBroken, c.killed, v.promise, v.problem})
	}
	_, err := fmt.Fprintf(c.app.stdout, "violation  round %d, %s: %s\n", c.killed, v.promise, v.problem)
	return err
}
