package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	groups   [][]Workload // Those of a group are measured by one process, on one store.
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
			for i := range r.peers {
				peer := r.peers[(i+round-1)%len(r.peers)]
				measurements := r.measure(ctx, round, peer.taken(group), peer)
				if ctx.Err() != nil {
					return all, ctx.Err()
				}
				all = append(all, measurements...)
				if err := r.tell(measurements); err != nil {
					return all, err
				}
			}
		}
	}
	return all, nil
}

// tell writes the measurements down, and says what came of them.
func (r *runner) tell(measurements []Measurement) error {
	for _, m := range measurements {
		if err := json.NewEncoder(r.out).Encode(m); err != nil {
			return err
		}
		what := fmt.Sprintf("round %d of %d  %-28s %-12s", m.Round, r.rounds, m.ID(), m.Peer)
		if m.Error != "" {
			fmt.Fprintf(r.progress, "%s failed: %s\n", what, m.Error)
			continue
		}
		fmt.Fprintf(r.progress, "%s %s %s\n", what, figure(m.Figure), m.Unit)
	}
	return nil
}

// measure lets a child measure a group of workloads. What goes wrong is in the measurements that did not come.
func (r *runner) measure(ctx context.Context, round int, group []Workload, peer Peer) []Measurement {
	if len(group) == 0 {
		return nil
	}
	spec := r.spec
	spec.Workload, spec.Peer, spec.Round = group[0].ID(), peer.Name, round
	for _, workload := range group[1:] {
		spec.After = append(spec.After, workload.ID())
	}
	spec.Seed += uint64(round)
	spec.Dir = filepath.Join(r.dir, "store")
	measurements, err := r.measureIn(ctx, spec, group[0])
	if err = errors.Join(err, os.RemoveAll(spec.Dir)); err != nil && len(measurements) == len(group) {
		measurements = nil // What went wrong at the end concerns all of them.
	}
	for _, workload := range group[len(measurements):] {
		measurements = append(measurements, Measurement{
			Workload: workload.Name, Goroutines: workload.Goroutines, Peer: peer.Name, Version: peer.version(),
			Round: round, Pairs: spec.Pairs, Unit: workload.Unit, Error: err.Error(),
		})
	}
	return measurements
}

func (r *runner) measureIn(ctx context.Context, spec Spec, workload Workload) ([]Measurement, error) {
	if workload.prepare == nil {
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
	return start(ctx, spec)
}

// prepare returns the directory that a workload wants to find a copy of.
func (r *runner) prepare(ctx context.Context, spec Spec, workload Workload) (string, error) {
	key := spec.Peer + " " + spec.Workload
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
