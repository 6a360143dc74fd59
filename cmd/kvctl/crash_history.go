package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

const (
	crashWriters = 4
	crashKept    = 16 // The pairs that a writer leaves of its last steps.
)

// crashRound is what is known of one round: the store before it, what its worker reported until it was killed, and the store
// that was found afterwards.
//
// Each writer of a worker takes steps, numbered from 1 and through all rounds. A step is one commit, which follows from the seed, the
// writer and the step's number alone; the next begins once this one was acknowledged and that was reported.
type crashRound struct {
	seed   uint64
	before crashState
	acked  []crashAck           // In the order in which they were reported.
	seen   [crashWriters]uint64 // The last step of each writer that a reader saw; 0 for none.
	halved []string             // What a reader saw of half a commit.
	damage string               // Why the worker could not go on; "" where it could.
	after  crashState
}

// crashAck is an acknowledged step and the offset of its commit.
type crashAck struct {
	writer       int
	step, offset uint64
}

// crashState is what a store holds.
type crashState struct {
	offset  uint64 // Of the last commit.
	total   uint64 // The commits that there are by the count that each of them leaves.
	writers [crashWriters]crashWriter
	foreign []string // Keys that no step puts.
}

// crashWriter is what a store holds of a writer. Each step sets left first, right last, and at to its own offset.
type crashWriter struct {
	left, right, at uint64
	values          map[uint64][]byte // Of the last steps.
}

// crashViolation is a broken promise.
type crashViolation struct {
	promise, problem string
}

// crashValue returns what a step of a writer puts: mostly a few bytes, and at times more than a page of the log.
func crashValue(seed uint64, writer int, step uint64) []byte {
	random := rand.NewChaCha8([32]byte(fmt.Appendf(nil, "%016x%08x%08x", seed, writer, step)[:32]))
	size := random.Uint64() % 300
	if random.Uint64()%32 == 0 {
		size = 20_000 + random.Uint64()%50_000
	}
	value := make([]byte, size)
	_, _ = random.Read(value) // It never fails.
	return value
}

// crashJudge collects the violations of a round.
type crashJudge struct {
	crashRound
	found []crashViolation
}

func (j *crashJudge) add(promise, format string, args ...any) {
	j.found = append(j.found, crashViolation{promise, fmt.Sprintf(format, args...)})
}

// violations returns every promise of docs/design.md, P1 to P4, that the round broke, and P5 where a worker met damage.
func (r crashRound) violations() []crashViolation {
	j := &crashJudge{crashRound: r}
	last, highest := j.acknowledged()
	if j.damage != "" {
		j.add("P5", "a worker met damage: %s", j.damage)
	}
	for _, problem := range j.halved {
		j.add("P3", "a reader saw half a commit: %s", problem)
	}
	for writer := range crashWriters {
		j.kept(writer, last[writer])
		j.whole(writer)
	}
	j.prefix(highest)
	return j.found
}

// acknowledged checks that the acknowledgements are possible at all. It returns the last of each writer, and the highest offset.
func (j *crashJudge) acknowledged() (last [crashWriters]crashAck, highest uint64) {
	for writer := range last {
		before := j.before.writers[writer]
		last[writer] = crashAck{writer, before.left, before.at}
	}
	taken := map[uint64]bool{}
	for _, ack := range j.acked {
		before := last[ack.writer]
		switch {
		case ack.step != before.step+1:
			j.add("P4", "writer %d: step %d was acknowledged after step %d", ack.writer, ack.step, before.step)
		case ack.offset <= before.offset || ack.offset <= j.before.offset:
			j.add("P4", "writer %d: step %d was acknowledged as commit %d, which is not after commit %d", ack.writer, ack.step, ack.offset,
				max(before.offset, j.before.offset))
		case taken[ack.offset]:
			j.add("P4", "commit %d was acknowledged twice", ack.offset)
		}
		taken[ack.offset] = true
		last[ack.writer], highest = ack, max(highest, ack.offset)
	}
	return last, highest
}

// kept checks that what was acknowledged or seen of a writer is there, and nothing that it can't have begun.
func (j *crashJudge) kept(writer int, acked crashAck) {
	after := j.after.writers[writer]
	switch {
	case after.left < acked.step:
		j.add("P1", "writer %d: step %d was acknowledged as commit %d, and step %d is the last there is", writer, acked.step, acked.offset,
			after.left)
	case after.left > acked.step+1:
		j.add("P4", "writer %d: step %d is there, and step %d was never acknowledged", writer, after.left, acked.step+1)
	case after.left == acked.step && after.at != acked.offset:
		j.add("P1", "writer %d: step %d was acknowledged as commit %d, and is commit %d", writer, acked.step, acked.offset, after.at)
	}
	if seen := j.seen[writer]; after.left < seen {
		j.add("P2", "writer %d: a reader saw step %d, and step %d is the last there is", writer, seen, after.left)
	}
}

// whole checks that all that a writer's steps leave is there, and nothing else.
func (j *crashJudge) whole(writer int) {
	w := j.after.writers[writer]
	if w.left != w.right {
		j.add("P3", "writer %d: a commit is there in part: its first pair is of step %d, its last of step %d", writer, w.left, w.right)
	}
	first := uint64(1)
	if w.left > crashKept {
		first = w.left - crashKept + 1
	}
	for step := first; step <= w.left; step++ {
		switch value, has := w.values[step]; {
		case !has:
			j.add("P3", "writer %d: step %d is the last there is, and the pair of step %d is missing", writer, w.left, step)
		case !bytes.Equal(value, crashValue(j.seed, writer, step)):
			j.add("P3", "writer %d: the pair of step %d has another value, of %d bytes", writer, step, len(value))
		}
	}
	for step := range w.values {
		if step < first || step > w.left {
			j.add("P3", "writer %d: step %d is the last there is, and the pair of step %d is there", writer, w.left, step)
		}
	}
}

// prefix checks that the store is what the first commits make, as many as its last offset says.
func (j *crashJudge) prefix(highest uint64) {
	steps, newest := uint64(0), uint64(0)
	for _, w := range j.after.writers {
		steps += w.left
		newest = max(newest, w.at)
	}
	switch after := j.after.offset; {
	case after < highest:
		j.add("P4", "commit %d was acknowledged, and commit %d is the last there is", highest, after)
	case after < j.before.offset:
		j.add("P4", "commit %d was there before, and commit %d is the last there is", j.before.offset, after)
	case steps != after || j.after.total != after:
		j.add("P4", "commit %d is the last there is, and the store holds %d steps and counts %d", after, steps, j.after.total)
	case newest != after:
		j.add("P4", "commit %d is the last there is, and the newest step is commit %d", after, newest)
	}
	for _, key := range j.after.foreign {
		j.add("P3", "a key that no step puts: %s", shown(key))
	}
}
