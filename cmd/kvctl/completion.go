package main

import (
	"github.com/spf13/cobra"
)

// Completion offers file names only where a file is wanted. newRoot sets the default, which is nothing.

// aFile offers file names for the only argument of a command.
func aFile(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// The functions below fail only for a flag that doesn't exist.

func completeFiles(cmd *cobra.Command, flag string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault))
}

func completeDirectory(cmd *cobra.Command, flag string) { _ = cmd.MarkFlagDirname(flag) }

func completeWords(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func newCompletion(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	cmd := &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Write a shell's completion script",
		Long: `completion writes a script that teaches a shell kvctl's commands and flags, and
for get, put and del the keys of the store that need no quotes. For the shell
that is running:

  bash   source <(kvctl completion bash)
  zsh    source <(kvctl completion zsh)
  fish   kvctl completion fish | source`,
		Example: `  kvctl completion bash > kvctl.bash
  kvctl completion zsh > _kvctl
  kvctl completion fish > kvctl.fish`,
		Args:      asUsed,
		ValidArgs: shells,
	}
	cmd.RunE = a.starts(func(args []string) error {
		root := cmd.Root()
		switch args[0] {
		case "zsh":
			return root.GenZshCompletion(a.stdout)
		case "fish":
			return root.GenFishCompletion(a.stdout, true)
		}
		return root.GenBashCompletionV2(a.stdout, true)
	})
	return cmd
}
