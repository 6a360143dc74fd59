package main

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
)

const crashTestSeed = 7

// madeUp returns a round in which nothing went wrong: before it, writers 0 and 1 had done two steps each, as the commits 1 to 4. In
// it, writer 0 was acknowledged steps 3 and 4 as commits 5 and 7, writer 1 step 3 as commit 6, and writer 2 took a first step, commit 8,
// that was seen by a reader but not acknowledged when the worker was killed.
func madeUp() crashRound {
	return crashRound{
		seed:   crashTestSeed,
		before: madeUpState(map[int][2]uint64{0: {2, 3}, 1: {2, 4}}),
		acked:  []crashAck{{0, 3, 5}, {1, 3, 6}, {0, 4, 7}},
		seen:   [crashWriters]uint64{4, 3, 1, 0},
		after:  madeUpState(map[int][2]uint64{0: {4, 7}, 1: {3, 6}, 2: {1, 8}}),
	}
}

// madeUpState returns the state after the given last step and offset of each writer.
func madeUpState(last map[int][2]uint64) (s crashState) {
	for writer, at := range last {
		w := crashWriter{left: at[0], right: at[0], at: at[1], values: map[uint64][]byte{}}
		for step := at[0]; step > 0 && step+crashKept > at[0]; step-- {
			w.values[step] = crashValue(crashTestSeed, writer, step)
		}
		s.writers[writer] = w
		s.total += at[0]
	}
	s.offset = s.total
	return s
}

func TestRoundThatKeptEveryPromiseHasNoViolation(t *testing.T) {
	require.Empty(t, madeUp().violations())
	require.Empty(t, crashRound{}.violations(), "killed before there was a store")
	unacknowledged := madeUp()
	unacknowledged.acked = unacknowledged.acked[:2] // The kill took the last acknowledgement.
	require.Empty(t, unacknowledged.violations())
	long := crashRound{seed: crashTestSeed, before: madeUpState(map[int][2]uint64{3: {100, 100}})}
	long.after = long.before
	require.Empty(t, long.violations(), "old pairs are deleted")
}

func TestBrokenPromiseIsFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(r *crashRound)
		want  string // The promise and the problem of one violation.
	}{
		{
			"an acknowledged commit is gone", func(r *crashRound) { r.after = madeUpState(map[int][2]uint64{0: {3, 5}, 1: {3, 6}, 2: {1, 7}}) },
			"P1: writer 0: step 4 was acknowledged as commit 7, and step 3 is the last there is",
		},
		{
			"a commit of an earlier round is gone", func(r *crashRound) {
				r.acked, r.seen, r.after = nil, [crashWriters]uint64{}, madeUpState(map[int][2]uint64{0: {2, 3}, 1: {1, 2}})
			},
			"P1: writer 1: step 2 was acknowledged as commit 4, and step 1 is the last there is",
		},
		{
			"everything is gone", func(r *crashRound) { r.after = crashState{} },
			"P4: commit 7 was acknowledged, and commit 0 is the last there is",
		},
		{
			"a commit has another offset than was acknowledged", func(r *crashRound) { r.after.writers[1].at = 5 },
			"P1: writer 1: step 3 was acknowledged as commit 6, and is commit 5",
		},
		{
			"a commit that a reader saw is gone", func(r *crashRound) { r.after = madeUpState(map[int][2]uint64{0: {4, 7}, 1: {3, 6}}) },
			"P2: writer 2: a reader saw step 1, and step 0 is the last there is",
		},
		{
			"a commit lacks its last pair", func(r *crashRound) { r.after.writers[2].right = 0 },
			"P3: writer 2: a commit is there in part: its first pair is of step 1, its last of step 0",
		},
		{
			"a commit lacks a pair in its middle", func(r *crashRound) { delete(r.after.writers[0].values, 4) },
			"P3: writer 0: step 4 is the last there is, and the pair of step 4 is missing",
		},
		{
			"a value is another", func(r *crashRound) { r.after.writers[0].values[4] = []byte("other") },
			"P3: writer 0: the pair of step 4 has another value, of 5 bytes",
		},
		{
			"a commit left a pair alone", func(r *crashRound) { r.after.writers[3].values = map[uint64][]byte{1: crashValue(crashTestSeed, 3, 1)} },
			"P3: writer 3: step 0 is the last there is, and the pair of step 1 is there",
		},
		{
			"a deleted pair is back", func(r *crashRound) {
				r.before = madeUpState(map[int][2]uint64{3: {100, 100}})
				r.after, r.acked, r.seen = r.before, nil, [crashWriters]uint64{}
				r.after.writers[3].values = maps.Clone(r.after.writers[3].values)
				r.after.writers[3].values[84] = crashValue(crashTestSeed, 3, 84)
			},
			"P3: writer 3: step 100 is the last there is, and the pair of step 84 is there",
		},
		{
			"a reader saw half a commit", func(r *crashRound) { r.halved = []string{"4 and 3"} },
			"P3: a reader saw half a commit: 4 and 3",
		},
		{
			"a pair that nothing put", func(r *crashRound) { r.after.foreign = []string{"x\x00"} },
			`P3: a key that no step puts: "x\x00"`,
		},
		{
			"a later commit is there without an earlier one", func(r *crashRound) { r.acked = r.acked[:1] },
			"", // Writer 0 may have taken a step more, and so may writer 1: both were unacknowledged.
		},
		{
			"a writer is two steps past what was acknowledged", func(r *crashRound) { r.acked = r.acked[1:2] },
			"P4: writer 0: step 4 is there, and step 3 was never acknowledged",
		},
		{
			"a commit is missing between others", func(r *crashRound) { r.after.offset, r.after.writers[2].at = 9, 9 },
			"P4: commit 9 is the last there is, and the store holds 8 steps and counts 8",
		},
		{
			"the count of commits is another", func(r *crashRound) { r.after.total = 7 },
			"P4: commit 8 is the last there is, and the store holds 8 steps and counts 7",
		},
		{
			"the last commit is nobody's", func(r *crashRound) { r.after.writers[2].at = 2 },
			"P4: commit 8 is the last there is, and the newest step is commit 7",
		},
		{
			"an offset is acknowledged twice", func(r *crashRound) { r.acked[1].offset = 5 },
			"P4: commit 5 was acknowledged twice",
		},
		{
			"an old offset is acknowledged again", func(r *crashRound) { r.acked[1].offset = 4 },
			"P4: writer 1: step 3 was acknowledged as commit 4, which is not after commit 4",
		},
		{
			"a step is acknowledged before the one before it", func(r *crashRound) { r.acked[0].step = 4 },
			"P4: writer 0: step 4 was acknowledged after step 2",
		},
		{"a worker met damage", func(r *crashRound) { r.damage = "checksum" }, "P5: a worker met damage: checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			round := madeUp()
			c.spoil(&round)
			var found []string
			for _, violation := range round.violations() {
				found = append(found, violation.promise+": "+violation.problem)
			}
			if c.want == "" {
				require.Empty(t, found)
				return
			}
			require.Contains(t, found, c.want)
		})
	}
}
