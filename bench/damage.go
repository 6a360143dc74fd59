package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// matrix damages what engines have written, and looks at what they then say and read.
type matrix struct {
	seed, pairs, places uint64
	engines, dir, page  string
	into                string   // A page that has the first table, too; empty is none.
	only                []string // The ids of damages, for tests; none is all.
	kvctl               string   // A build of kvctl, whose words are part of the page; empty is none.
	program             string
	progress            io.Writer
	environment         string
	scenes              []*scene
}

// outcome is one damage and what came of it.
type outcome struct {
	what        string // Which bytes.
	first, then look   // Then is the look after the first one's process has ended.
	looked      bool   // There was a second one.
	tool        string // What the engine's own tool says.
	kind        kind
	words       string // What there is to quote.
}

// damageMatrix does what the arguments of the command damage say.
func damageMatrix(ctx context.Context, arguments []string, stdout, stderr io.Writer) (err error) {
	m := &matrix{progress: stderr}
	flags := flag.NewFlagSet("walnut-bench damage", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Uint64Var(&m.seed, "seed", 1, "where pairs and places of damage come from")
	flags.Uint64Var(&m.pairs, "pairs", 2000, "acknowledged pairs")
	flags.Uint64Var(&m.places, "places", 20, "at how many places a damage is tried that can be at several")
	flags.StringVar(&m.engines, "engines", "", "engines to damage, commas between (default all): "+strings.Join(engineNames(), ", "))
	flags.StringVar(&m.dir, "dir", os.TempDir(), "directory in which to make a directory for data, removed at the end")
	flags.StringVar(&m.page, "page", "", "file for the page (default standard output)")
	flags.StringVar(&m.into, "into", "", "another page whose copy of the first table is replaced")
	flags.StringVar(&m.kvctl, "kvctl", "", "a build of kvctl, to ask it about damaged stores of Walnut")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 || m.pairs < 30 || m.places == 0 {
		return errors.New("a flag is out of range, or an argument is not a flag; -h lists them")
	}
	if m.dir, err = os.MkdirTemp(m.dir, "walnut-damage-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	if m.dir, err = filepath.Abs(m.dir); err != nil { // Engines name files so.
		return err
	}
	if m.program, err = os.Executable(); err != nil {
		return err
	}
	m.environment = environment(m.dir)
	if err := m.run(ctx); err != nil {
		return err
	}
	return m.writePage(stdout)
}

// writePage writes the page, and its first table into another one.
func (m *matrix) writePage(stdout io.Writer) error {
	text := m.text()
	if m.into != "" {
		other, err := os.ReadFile(m.into)
		if err != nil {
			return err
		}
		replaced := strings.Replace(string(other), matrixIn(string(other)), matrixIn(text), 1)
		if err := os.WriteFile(m.into, []byte(replaced), 0o644); err != nil {
			return err
		}
	}
	if m.page == "" {
		_, err := io.WriteString(stdout, text)
		return err
	}
	return os.WriteFile(m.page, []byte(text), 0o644)
}

// matrixIn returns the table of all engines in a page.
func matrixIn(page string) string {
	const head = "| damage | Walnut |"
	start := max(strings.Index(page, head), 0)
	end := strings.Index(page[start:], "\n\n")
	return page[start:][:max(end, 0)]
}

func engineNames() (names []string) {
	for _, e := range allEngines() {
		names = append(names, e.name)
	}
	return names
}

// run fills the matrix, a few engines at a time: no engine is measured.
func (m *matrix) run(ctx context.Context) error {
	var group sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	errs := make([]error, len(allEngines()))
	for i, e := range allEngines() {
		if m.engines != "" && !slices.Contains(strings.Split(m.engines, ","), e.name) {
			continue
		}
		s := &scene{
			engine: e, dir: filepath.Join(m.dir, strconv.Itoa(i)), spec: damageSpec{Engine: e.name, Pairs: m.pairs, Seed: m.seed},
			usual: map[string]bool{}, outcomes: map[string][]outcome{},
		}
		m.scenes = append(m.scenes, s)
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if err := m.fill(ctx, s); err != nil {
				errs[i] = fmt.Errorf("%s: %w", e.name, err)
			}
		})
	}
	group.Wait()
	if m.scenes == nil {
		return errors.New("-engines: there is none of that name; -h lists them")
	}
	return errors.Join(errs...)
}

// fill lets an engine write its states, and damages them. What it says when it opens them undamaged says nothing about damage.
func (m *matrix) fill(ctx context.Context, s *scene) (err error) {
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	for _, written := range []struct {
		to    *state
		pairs uint64
		idle  time.Duration
	}{{&s.killed, m.pairs, 0}, {&s.unanswered, m.pairs + unacknowledged, 0}, {&s.idle, m.pairs, 2 * time.Second}} {
		if *written.to, err = m.write(ctx, s, written.pairs, written.idle); err != nil {
			return err
		}
		undamaged := damage{from: func(*scene) state { return *written.to }, apply: leave}
		o, err := m.damage(ctx, s, undamaged, nil, 0)
		if err != nil {
			return err
		}
		for _, line := range append(o.first.Said, o.first.Check) {
			s.usual[pattern(line)] = true
		}
	}
	if s.logs, s.tables, err = living(s.killed.dir, s.engine, s.spec); err != nil {
		return err
	}
	if s.others, err = otherFiles(s.killed.dir, s.engine); err != nil {
		return err
	}
	return m.damageAll(ctx, s)
}

// write lets a child write pairs, and kills it some time after the last one.
func (m *matrix) write(ctx context.Context, s *scene, pairs uint64, idle time.Duration) (made state, err error) {
	spec := s.spec
	spec.Write = pairs
	if spec.Dir, err = os.MkdirTemp(s.dir, "written-"); err != nil {
		return made, err
	}
	made.dir, made.before = spec.Dir, spec.Dir+"-before"
	after := spec.Dir + "-after"
	command, complaints, err := m.child(ctx, spec)
	if err != nil {
		return made, err
	}
	input, inputErr := command.StdinPipe()
	output, outputErr := command.StdoutPipe()
	if err := errors.Join(inputErr, outputErr, command.Start()); err != nil {
		return made, err
	}
	lines := bufio.NewReader(output)
	// keepAt copies the directory when the child waits.
	keepAt := func(kept string) error {
		if _, err := lines.ReadString('\n'); err != nil {
			return err
		}
		return os.CopyFS(kept, os.DirFS(made.dir))
	}
	if err = keepAt(made.before); err == nil {
		_, err = input.Write([]byte("\n"))
	}
	if err == nil {
		err = keepAt(after)
	}
	time.Sleep(idle)
	killErr := command.Process.Kill()
	_ = command.Wait() // It was killed.
	if err = errors.Join(err, killErr); err != nil {
		return made, fmt.Errorf("%w: %s", err, complaints)
	}
	made.last, err = lastWrite(made.before, after, s.engine.logs, s.lastWrite)
	return made, errors.Join(err, os.RemoveAll(after))
}

// child returns a command that isn't started yet, and what it will complain of.
func (m *matrix) child(ctx context.Context, spec damageSpec) (*exec.Cmd, *bytes.Buffer, error) {
	encoded, err := json.Marshal(spec)
	command := exec.CommandContext(ctx, m.program)
	command.Env = append(os.Environ(), damageVariable+"="+string(encoded))
	var complaints bytes.Buffer
	command.Stderr = &complaints
	return command, &complaints, err
}

// damageAll does every damage to an engine.
func (m *matrix) damageAll(ctx context.Context, s *scene) error {
	for row, d := range damages {
		if m.only != nil && !slices.Contains(m.only, d.id) {
			continue
		}
		times := uint64(1)
		if d.repeated {
			times = m.places
		}
		for at := range times {
			rng := rand.New(rand.NewPCG(m.seed, uint64(row)<<32|at))
			o, err := m.damage(ctx, s, d, rng, int(at))
			if err != nil {
				return fmt.Errorf("%s: %w", d.id, err)
			}
			if o.what == "" {
				break
			}
			o.kind, o.words = s.judge(o), s.quote(o)
			s.outcomes[d.id] = append(s.outcomes[d.id], o)
			fmt.Fprintf(m.progress, "%-18s %-12s %-46s %-20s %s\n", s.name, d.id, o.what, o.kind.name, o.words)
		}
	}
	return nil
}

// damage does one damage, and looks twice: the first look writes a pair, and ends without closing anything.
func (m *matrix) damage(ctx context.Context, s *scene, d damage, rng *rand.Rand, at int) (o outcome, err error) {
	dir := filepath.Join(s.dir, "DIR")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.CopyFS(dir, os.DirFS(d.from(s).dir)); err != nil {
		return o, err
	}
	if o.what, err = d.apply(s, dir, rng, at); err != nil || o.what == "" {
		return o, err
	}
	if o.first, err = m.look(ctx, s, dir, 0); err != nil {
		return o, err
	}
	switch {
	case o.first.Refused != "" && s.tool != nil && m.kvctl != "":
		o.tool = s.tool(m.kvctl, dir)
	case o.first.Later != 0:
		o.looked = true
		o.then, err = m.look(ctx, s, dir, o.first.Later)
	}
	return o, err
}

// lookTimeout is when a look counts as hanging.
const lookTimeout = 10 * time.Second

// look lets a child look at a directory.
func (m *matrix) look(ctx context.Context, s *scene, dir string, later uint64) (look, error) {
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	spec := s.spec
	spec.Dir, spec.Later = dir, later
	command, complaints, err := m.child(limited, spec)
	if err != nil {
		return look{}, err
	}
	if _, err := command.StdinPipe(); err != nil { // Open until the child ends; see dieWithParent.
		return look{}, err
	}
	output, err := command.Output()
	seen := decodeLook(bytes.NewReader(output))
	switch {
	case ctx.Err() != nil:
		return look{}, ctx.Err()
	case limited.Err() != nil:
		seen.Hung = true
	case err != nil:
		line, _, _ := strings.Cut(complaints.String(), "\n")
		seen.Died = err.Error() + ": " + line
	}
	return seen, nil
}
