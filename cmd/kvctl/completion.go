package main

import (
	"github.com/spf13/cobra"
)

func newCompletion(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	cmd := &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Write a shell's completion script",
		Long: `completion writes a script that teaches a shell kvctl's commands and flags. For
the shell that is running:

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
