package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// childVariable is the environment variable that makes a process of this program a child: it holds the Spec.
const childVariable = "WALNUT_BENCH_CHILD"

// child is what a process does that a runner has started. It prints a Measurement for each workload; one that
// prepares prints an empty one, once the directory is as it should be.
func child(specification string) error {
	go dieWithParent()
	var spec Spec
	if err := json.Unmarshal([]byte(specification), &spec); err != nil {
		return fmt.Errorf("what to measure: %w", err)
	}
	runs, err := newRuns(spec)
	if err != nil {
		return err
	}
	if spec.Prepare {
		return runs[0].prepareAndDie()
	}
	measurements, err := measureAll(runs)
	for _, measurement := range measurements {
		err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(measurement))
	}
	return err
}

func measureAll(runs []*run) ([]Measurement, error) {
	switch {
	case len(runs) > 1 && runs[0].workload.stage != nil:
		return measureStages(runs)
	case len(runs) > 1:
		return measureTogether(runs)
	}
	measurement, err := runs[0].measure()
	if err != nil {
		return nil, err
	}
	return []Measurement{measurement}, nil
}

func (r *run) prepareAndDie() error {
	prepare := r.workload.prepare
	if r.Loaded {
		prepare = prepareLoaded
	}
	if err := prepare(r); err != nil {
		return fmt.Errorf("prepare %s for %s: %w", r.Peer, r.Workload, err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r.result); err != nil || !r.workload.Killed {
		return err
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	if err := self.Kill(); err != nil {
		return err
	}
	select {} // The kill need not have come yet.
}

// dieWithParent ends the process when its standard input does, which the runner holds open: whatever ends the runner
// ends what it has started.
func dieWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	fatal("the runner is gone")
}

// fatal ends the process with a message.
func fatal(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "walnut-bench: "+format+"\n", args...)
	os.Exit(1)
}
