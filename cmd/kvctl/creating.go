package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// mustExist refuses a directory without a store, for commands that write to a store but should not create one.
func (a *app) mustExist(command string) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	log, err := kv.OpenLog(dir, kv.Options{})
	if err == nil {
		err = log.Close()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// mayCreate refuses a directory without a store, unless the command may make one there.
func (a *app) mayCreate(command string, may bool) error {
	if may {
		return nil
	}
	return a.mustExist(command)
}

// addExisting adds the flag that forbids a command to make a store.
func addExisting(cmd *cobra.Command, existing *bool) {
	cmd.Flags().BoolVar(existing, "existing", false, "fail if there is no store yet, instead of making one")
}

// isNoStore reports whether the directory is no store yet. That is an error if the command wants an existing one.
func (a *app) isNoStore(existing bool) (bool, error) {
	if a.session != nil {
		return false, nil
	}
	err := a.mustExist("open")
	switch {
	case errors.Is(err, kv.ErrNotStore) && !existing:
		return true, nil
	case errors.Is(err, kv.ErrNotStore):
		return true, err
	}
	return false, nil // Any other error is met again by opening the store, which says more of it.
}
