package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// newTestApp returns an app whose commands are looked at and not run.
func newTestApp() *app {
	return &app{
		stdout: bufio.NewWriter(io.Discard), output: newChoice(outputText, outputJSON),
		encoding: newChoice("utf8", "hex", "base64"), sync: newChoice("always", "interval", "never"),
	}
}

// everyCommand calls do for kvctl and each of its commands.
func everyCommand(do func(cmd *cobra.Command)) {
	root := newRoot(newTestApp())
	root.InitDefaultHelpCmd()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		do(cmd)
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(root)
}

// TestEveryExampleRuns runs the example of each command as a shell would, in an empty directory.
func TestEveryExampleRuns(t *testing.T) {
	address := newWalnutd(t)
	everyCommand(func(cmd *cobra.Command) {
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "_"), func(t *testing.T) {
			require.NotEmpty(t, cmd.Example)
			require.Contains(t, cmd.Example, cmd.CommandPath()[len("kvctl"):], "the example is of another command")
			if cmd.Name() == "serve" {
				t.Skip("it goes on until a signal: TestTheExamplesOfServeRun")
			}
			shell := exec.Command("sh", "-e", "-c", cmd.Example)
			shell.Dir = t.TempDir()
			shell.Env = append(os.Environ(), "KVCTL_ADMIN="+address)
			out, err := shell.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.NotContains(t, string(out), "kvctl: ")
		})
	})
}

func TestEveryCommandSaysWhatItDoes(t *testing.T) {
	everyCommand(func(cmd *cobra.Command) {
		require.NotEmpty(t, cmd.Short, cmd.CommandPath())
		require.NotEmpty(t, cmd.Long, cmd.CommandPath())
		require.NotNil(t, cmd.RunE, "%s: a command that isn't complete must say so", cmd.CommandPath())
	})
}

func TestHelpFits80Columns(t *testing.T) {
	everyCommand(func(cmd *cobra.Command) {
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "_"), func(t *testing.T) {
			args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
			var help, stderr bytes.Buffer
			require.Zero(t, run(args, nil, &help, &stderr, func(string) string { return "" }), stderr.String())
			for line := range strings.Lines(help.String()) {
				require.NotContains(t, line, "[command]", "cobra's words")
				require.NotContains(t, line, "help for ", "cobra's words")
				require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 80, line)
			}
		})
	})
}
