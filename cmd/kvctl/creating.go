package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// addExisting adds the flag that keeps a command from making a store.
func addExisting(cmd *cobra.Command, existing *bool) {
	cmd.Flags().BoolVar(existing, "existing", false, "fail where there is no store yet, in place of making one")
}

// isNoStore reports whether the directory is no store yet. That is an error if the command wants an existing one.
func (a *app) isNoStore(existing bool) (bool, error) {
	err := a.mustExist("open")
	switch {
	case errors.Is(err, kv.ErrNotStore) && !existing:
		return true, nil
	case errors.Is(err, kv.ErrNotStore):
		return true, err
	}
	return false, nil // Any other error is met again by opening the store, which says more of it.
}

// sayNew says on standard error that a store was made.
func (a *app) sayNew() {
	dir, _ := a.dir() // It was opened, so it has a name.
	fmt.Fprintf(a.stderr, "%s: no store yet, so a new one was made\n", dir)
}
