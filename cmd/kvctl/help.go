package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newHelp replaces cobra's help command, which exits 0 for a command that doesn't exist.
func newHelp(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "help [COMMAND…]",
		Short: "Show a command's help",
		Long: `help shows what --help shows: what a command does, its flags, and an example
that runs.`,
		Example: `  kvctl help put
  kvctl help wal dump`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if of, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				for _, child := range of.Commands() {
					names = append(names, cobra.CompletionWithDesc(child.Name(), child.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		of, rest, err := cmd.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return fmt.Errorf("no command %q", strings.Join(args, " "))
		}
		a.started = true
		of.InitDefaultHelpFlag()
		return of.Help()
	}
	return cmd
}
