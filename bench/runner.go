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
	"slices"
	"strings"
	"time"
)

// contestant is a peer that takes part, in this program or in another build of it.
type contestant struct {
	Peer
	label   string
	program string
}

// runner measures groups of workloads with each contestant, each time in a fresh process and a fresh directory. Contestants
// take turns within a round, in another order in each round, so that a slow minute of the machine meets all of them.
type runner struct {
	spec        Spec // What the measurements have in common.
	rounds      int
	workloads   []Workload
	contestants []contestant
	dir         string // For data. The caller removes it.
	environment string
	out         *json.Encoder // Gets every measurement.
	progress    io.Writer     // Gets a readable line.

	prepared map[string]string // Directories by what is in them; copied for each measurement.
}

// run returns every measurement, the failed ones too. The error is the context's, or one of writing to out.
func (r *runner) run(ctx context.Context) (all []Measurement, err error) {
	r.prepared = map[string]string{}
	for round := range r.rounds {
		for _, group := range groups(r.workloads) {
			for i := range r.contestants {
				c := r.contestants[(i+round)%len(r.contestants)]
				measurements := r.measure(ctx, round, group, c)
				if ctx.Err() != nil {
					return all, ctx.Err()
				}
				for _, m := range measurements {
					fmt.Fprintf(r.progress, "round %d of %d  %-28s %-12s %s\n", m.Round, r.rounds, m.Workload, m.Peer, m.outcome())
					err = errors.Join(err, r.out.Encode(m))
				}
				all = append(all, measurements...)
			}
		}
	}
	return all, err
}

// groups divides workloads into those that one process measures on one store.
func groups(workloads []Workload) (groups [][]Workload) {
	for _, w := range workloads {
		place := slices.IndexFunc(groups, func(group []Workload) bool { return group[0].group() == w.group() })
		if place < 0 {
			groups = append(groups, []Workload{w})
		} else {
			groups[place] = append(groups[place], w)
		}
	}
	return groups
}

// measure lets a child measure those workloads of a group that the contestant takes part in. What went wrong is in the
// measurements that did not come.
func (r *runner) measure(ctx context.Context, round int, group []Workload, c contestant) []Measurement {
	group = slices.DeleteFunc(slices.Clone(group), func(w Workload) bool { return !w.takes(c.Peer) })
	if len(group) == 0 {
		return nil
	}
	spec := r.spec
	spec.Peer, spec.Dir = c.Name, filepath.Join(r.dir, "store")
	for _, w := range group {
		spec.Workloads, spec.Writers = append(spec.Workloads, w.ID), max(spec.Writers, w.Goroutines)
	}
	var measurements []Measurement
	err := r.directory(ctx, &spec, round, group[0], c)
	if err == nil {
		measurements, err = startChild(ctx, c.program, spec)
	}
	if err = errors.Join(err, os.RemoveAll(spec.Dir)); err != nil && len(measurements) == len(group) {
		measurements = nil // What went wrong at the end concerns all of them.
	}
	for i, w := range group {
		if i == len(measurements) {
			measurements = append(measurements, Measurement{Workload: w.ID, Error: err.Error()})
		}
		m := &measurements[i]
		m.Peer, m.Round, m.Version, m.Weaker, m.Environment = c.label, round+1, c.version(), c.weaker(w), r.environment
	}
	return measurements
}

// directory makes the one that a measurement begins with: an empty one, or a copy of what was prepared for all rounds.
func (r *runner) directory(ctx context.Context, spec *Spec, round int, w Workload, c contestant) error {
	from := w.startsFrom(c.Peer)
	if from.prepare == nil {
		spec.Seed += uint64(round)
		return os.Mkdir(spec.Dir, 0o700)
	}
	key := fmt.Sprint(c.label, " ", from.name, w.data(*spec))
	if r.prepared[key] == "" {
		preparing := *spec
		preparing.Dir, preparing.Prepare = filepath.Join(r.dir, fmt.Sprintf("prepared-%d", len(r.prepared))), true
		if err := os.Mkdir(preparing.Dir, 0o700); err != nil {
			return err
		}
		if _, err := startChild(ctx, c.program, preparing); err != nil {
			return errors.Join(err, os.RemoveAll(preparing.Dir))
		}
		fmt.Fprintf(r.progress, "%s is prepared for %s, for all rounds\n", c.label, strings.Join(spec.Workloads, ", "))
		r.prepared[key] = preparing.Dir
	}
	if err := os.CopyFS(spec.Dir, os.DirFS(r.prepared[key])); err != nil {
		return err
	}
	_, err := syncFiles(spec.Dir)
	return err
}

// childTimeout is when a child counts as hanging.
const childTimeout = 20 * time.Minute

// startChild runs a child to its end and returns what it has measured.
func startChild(ctx context.Context, program string, spec Spec) (measurements []Measurement, err error) {
	ctx, cancel := context.WithTimeout(ctx, childTimeout)
	defer cancel()
	encoded, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program)
	command.Env = append(os.Environ(), childVariable+"="+string(encoded))
	var output, complaints bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaints
	if _, err := command.StdinPipe(); err != nil { // Open until the child ends; see dieWithParent.
		return nil, err
	}
	if err = command.Run(); err != nil {
		text := bytes.TrimSpace(complaints.Bytes())
		err = fmt.Errorf("%w: %s", err, text[max(0, len(text)-2000):])
	}
	measurements, decodeErr := decodeAll(&output)
	return measurements, errors.Join(err, decodeErr)
}
