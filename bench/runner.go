package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// childTimeout is when a child counts as hanging.
const childTimeout = 20 * time.Minute

// runner measures each group of workloads with each peer, each time in a fresh process and a fresh directory. Peers take turns
// within a round, in another order in each round, so that a slow minute of the machine meets all of them.
type runner struct {
	spec     Spec // What the measurements have in common.
	rounds   int
	groups   [][]Workload            // Those of a group are measured by one process, on one store.
	extents  func(Workload) []extent // The data sets that a group is measured with, by its first workload; nil is spec's alone.
	peers    []Peer
	dir      string    // For data. Whoever makes the runner removes it.
	out      io.Writer // Gets one line of JSON for each measurement.
	progress io.Writer // Gets a line for people.

	prepared map[string]string // Directories by what prepared them; copied for each round.
}

// run returns every measurement, the failed ones too. The error is the context's, or one of writing to out.
func (r *runner) run(ctx context.Context) (all []Measurement, err error) {
	r.prepared = map[string]string{}
	for round := 1; round <= r.rounds; round++ {
		for _, group := range r.groups {
			for _, spec := range r.specs(group[0]) {
				spec.Round = round
				measurements, err := r.turns(ctx, spec, group)
				all = append(all, measurements...)
				if err != nil {
					return all, err
				}
			}
		}
	}
	return all, nil
}

// turns measures a group of workloads with one peer after another.
func (r *runner) turns(ctx context.Context, spec Spec, group []Workload) (all []Measurement, err error) {
	for i := range r.peers {
		peer := r.peers[(i+spec.Round-1)%len(r.peers)]
		measurements := r.measure(ctx, spec, peer.taken(group), peer)
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		all = append(all, measurements...)
		if err := r.tell(measurements); err != nil {
			return all, err
		}
	}
	return all, nil
}

// specs returns what is common to the measurements of a workload with each data set.
func (r *runner) specs(workload Workload) (specs []Spec) {
	common := r.spec
	common.Time = max(common.Time, workload.least)
	if r.extents == nil {
		return []Spec{common}
	}
	for _, extent := range r.extents(workload) {
		common.Pairs, common.Keys, common.Value = extent.pairs, extent.keys, extent.valueBytes
		specs = append(specs, common)
	}
	return specs
}

// tell writes the measurements down, and says what came of them.
func (r *runner) tell(measurements []Measurement) error {
	for _, m := range measurements {
		if err := json.NewEncoder(r.out).Encode(m); err != nil {
			return err
		}
		what := fmt.Sprintf("round %d of %d  %-28s %-12s%s", m.Round, r.rounds, m.ID(), m.Peer, unusual(m))
		if m.Error != "" {
			fmt.Fprintf(r.progress, "%s failed: %s\n", what, m.Error)
			continue
		}
		fmt.Fprintf(r.progress, "%s %s %s\n", what, figure(m.Figure), m.Unit)
	}
	return nil
}

// unusual says in what a data set differs from the usual one.
func unusual(m Measurement) (differs string) {
	if m.Pairs != usualPairs {
		differs += fmt.Sprintf(" %d pairs", m.Pairs)
	}
	if m.Keys != randomKeys {
		differs += " " + m.Keys
	}
	if m.ValueBytes != valueSize {
		differs += fmt.Sprintf(" %d B", m.ValueBytes)
	}
	return differs
}

// measure lets a child measure a group of workloads. What goes wrong is in the measurements that did not come.
func (r *runner) measure(ctx context.Context, spec Spec, group []Workload, peer Peer) []Measurement {
	if len(group) == 0 {
		return nil
	}
	spec.Workload, spec.Peer = group[0].ID(), peer.Name
	for _, workload := range group[1:] {
		spec.After = append(spec.After, workload.ID())
	}
	spec.Seed += uint64(spec.Round)
	spec.Loaded = peer.Pages && group[0].loaded
	spec.Dir = filepath.Join(r.dir, "store")
	measurements, err := r.measureIn(ctx, spec, group[0])
	if err = errors.Join(err, os.RemoveAll(spec.Dir)); err != nil && len(measurements) == len(group) {
		measurements = nil // What went wrong at the end concerns all of them.
	}
	for _, workload := range group[len(measurements):] {
		measurements = append(measurements, Measurement{
			Workload: workload.Name, Goroutines: workload.Goroutines, Peer: peer.Name, Version: peer.version(),
			Round: spec.Round, Pairs: spec.Pairs, Keys: cmp.Or(spec.Keys, randomKeys), ValueBytes: cmp.Or(spec.Value, valueSize),
			Unit: workload.Unit, Error: err.Error(),
		})
	}
	return measurements
}

func (r *runner) measureIn(ctx context.Context, spec Spec, workload Workload) ([]Measurement, error) {
	if workload.prepare == nil && !spec.Loaded {
		if err := os.Mkdir(spec.Dir, 0o700); err != nil {
			return nil, err
		}
		return start(ctx, spec)
	}
	spec.Seed = r.spec.Seed // What is prepared once is the same in all rounds.
	prepared, err := r.prepare(ctx, spec, workload)
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(spec.Dir, os.DirFS(prepared)); err != nil {
		return nil, err
	}
	if spec.Loaded {
		if err := syncFiles(spec.Dir); err != nil {
			return nil, err
		}
	}
	return start(ctx, spec)
}

// syncFiles syncs the files in a directory, as loading ends with a sync: writing them is not what is measured.
func syncFiles(dir string) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), file.Close())
	})
}

// prepare returns the directory that a workload wants to find a copy of. All that start on a loaded store want the same.
func (r *runner) prepare(ctx context.Context, spec Spec, workload Workload) (string, error) {
	what := spec.Workload
	if spec.Loaded {
		what = "loaded"
	}
	key := fmt.Sprint(spec.Peer, " ", what, " ", spec.Pairs, " ", spec.Keys, " ", spec.Value)
	if dir, found := r.prepared[key]; found {
		return dir, nil
	}
	spec.Dir = filepath.Join(r.dir, fmt.Sprintf("prepared-%d", len(r.prepared)))
	spec.Prepare = true
	if err := os.Mkdir(spec.Dir, 0o700); err != nil {
		return "", err
	}
	told, err := start(ctx, spec)
	var died *exec.ExitError
	if workload.Killed && len(told) > 0 && errors.As(err, &died) && !died.Exited() {
		err = nil // It did what it had to do and then killed itself.
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(spec.Dir))
	}
	if spec.Loaded {
		fmt.Fprintf(r.progress, "%s is loaded, once for all rounds\n", spec.Peer)
	}
	r.prepared[key] = spec.Dir
	return spec.Dir, nil
}

// start runs a child to its end and returns what it has printed, and how it ended.
func start(ctx context.Context, spec Spec) (measurements []Measurement, err error) {
	ctx, cancel := context.WithTimeout(ctx, childTimeout)
	defer cancel()
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program)
	command.Env = append(os.Environ(), childVariable+"="+string(encoded))
	var output, complaints bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaints
	if _, err := command.StdinPipe(); err != nil { // Held open until the child ends; see dieWithParent.
		return nil, err
	}
	if err = command.Run(); err != nil {
		err = fmt.Errorf("%w: %s", err, ending(complaints.String()))
	}
	for line := range bytes.Lines(output.Bytes()) {
		var measurement Measurement
		if lineErr := json.Unmarshal(line, &measurement); lineErr != nil {
			return measurements, errors.Join(err, lineErr)
		}
		measurements = append(measurements, measurement)
	}
	return measurements, err
}

// ending is the last part of what a child said.
func ending(text string) string {
	const most = 2000
	text = strings.TrimSpace(text)
	return text[max(0, len(text)-most):]
}
