package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// groups are the commands that need a store in --dir, for tables of what each of them does in one situation. N is replaced by a number
// that differs from one call to the next.
var groups = map[string][]string{
	// Commands that read pairs or all of the log.
	"reading": {
		"get a", "scan", "scan --count", "export", "watch --until-now", "stats", "check", "backup copyN", "wal dump", "wal verify",
	},
	// Commands that plan.
	"planning": {"wal repair"},
	// Commands that only list files.
	"listing": {"wal ls", "snapshot ls", "snapshot verify"},
	// Commands that need a snapshot.
	"inspecting": {"snapshot inspect 1"},
	// Commands that change a store and don't make one.
	"changing": {"del a", "checkpoint", "put a 1 --existing", "import pairs.jsonl --existing", "txn ops.jsonl --existing"},
	// This one changes a store and doesn't open it.
	"pruning": {"snapshot prune"},
	// Commands that make a store.
	"making": {"put a 1", "import pairs.jsonl", "txn ops.jsonl"},
}

var calls int

func each(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: each GROUP CODE WANT")
	}
	want, err := regexp.Compile("(?m)" + args[2])
	ts.Check(err)
	commands, known := groups[args[0]]
	if !known {
		ts.Fatalf("no group %s", args[0])
	}
	for _, command := range commands {
		calls++
		exits(ts, false, append([]string{args[1], "kvctl"}, strings.Fields(strings.ReplaceAll(command, "N", fmt.Sprint(calls)))...))
		said := newStore.ReplaceAllString(ts.ReadFile("stderr"), "")
		if args[2] == "" && said != "" || !want.MatchString(said) {
			ts.Fatalf("kvctl %s: %q doesn't match %q", command, said, args[2])
		}
	}
}

// TestTheGroupsHaveEveryCommand shows that a table of groups is about every command that opens a store.
func TestTheGroupsHaveEveryCommand(t *testing.T) {
	listed := map[string]bool{
		"kvctl restore": true, "kvctl crash-test": true, "kvctl crash-worker": true, // These want an empty directory.
		"kvctl bench": true, // It makes its own.
		"kvctl shell": true, // It runs the others.
		"kvctl serve": true, // It goes on until a signal: see serve.txtar.
	}
	root := newRoot(newTestApp())
	for _, commands := range groups {
		for _, command := range commands {
			cmd, _, err := root.Find(strings.Fields(command))
			require.NoError(t, err)
			listed[cmd.CommandPath()] = true
		}
	}
	for _, other := range []string{
		"", " help", " completion", " version", " wal", " snapshot", " cluster", " cluster status", " cluster members", " cluster join", " cluster transfer",
		" cluster remove", " cluster recover", " cluster backup", " cluster restore",
	} {
		listed["kvctl"+other] = true // These have no store.
	}
	everyCommand(func(cmd *cobra.Command) {
		require.True(t, listed[cmd.CommandPath()], "%s is in none of the groups", cmd.CommandPath())
	})
}
