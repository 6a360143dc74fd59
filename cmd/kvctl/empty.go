package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// notEmpty returns the PreRunE of a command that changes something. It refuses an empty --dir, and each of the flags that is given and
// empty: an unset variable in a script must not make the command do more than was meant, or do it elsewhere.
func notEmpty(flags ...string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		for _, name := range append([]string{"dir"}, flags...) {
			if flag := cmd.Flag(name); flag != nil && flag.Changed && flag.Value.String() == "" {
				return fmt.Errorf("--%s is empty; leave it out for the default", name)
			}
		}
		return nil
	}
}
