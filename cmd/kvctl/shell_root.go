package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newShellRoot builds the command tree of one line in a shell. s is nil where the tree serves for completion alone.
func newShellRoot(a *app, s *shell) *cobra.Command {
	root := &cobra.Command{
		Use:   "kvctl",
		Short: "Commands of the shell",
		Long: `The shell's commands have the same flags as outside: help COMMAND shows them.
exit, or Ctrl-D, ends the shell.`,
	}
	a.equip(root)
	a.addFormatFlags(root)
	root.AddCommand(newGet(a), newPut(a), newDel(a), newScan(a), newShellTxn(a, s), newStats(a), newWatch(a), newShellExit())
	root.SetHelpCommand(newHelp(a))
	return root
}

// newShellTxn is txn with the lines that follow in the shell where no file is named.
func newShellTxn(a *app, s *shell) *cobra.Command {
	cmd := newTxn(a)
	cmd.Use = "txn [FILE]"
	cmd.Args = cobra.MaximumNArgs(1)
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && args[0] != "-" {
			return run(cmd, args)
		}
		a.started = true
		text, err := typedTxn(s.next)
		switch {
		case errors.Is(err, errAborted):
			return nil
		case err != nil:
			return fmt.Errorf("txn: %w; nothing was written", err)
		}
		a.stdin = strings.NewReader(text)
		return run(cmd, []string{"-"})
	}
	return cmd
}

// newShellExit is in the tree for help and completion. The shell knows exit itself.
func newShellExit() *cobra.Command {
	return &cobra.Command{
		Use:     "exit",
		Aliases: []string{"quit"},
		Short:   "End the shell",
		Args:    asUsed,
		RunE:    func(*cobra.Command, []string) error { return errExit },
	}
}
