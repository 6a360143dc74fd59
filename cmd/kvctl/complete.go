package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// A shell asks for completions while a key is being typed, and shows whatever it gets. So there are few, they come soon or not at all,
// and an error is none of them.
const (
	completedKeys = 50
	// completedLooks is how many keys are looked at to find those. An encoding can narrow the scan down to whole bytes only.
	completedLooks   = 10_000
	completedTimeout = 2 * time.Second
)

// completeKeys completes the first arguments of a command, up to that number, with the store's keys.
func (a *app) completeKeys(arguments int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, word string) (keys []string, _ cobra.ShellCompDirective) {
		if len(args) < arguments {
			keys = a.keysLike(word, args)
		}
		return keys, cobra.ShellCompDirectiveNoFileComp
	}
}

// keysLike returns keys that begin with a word, as the encoding writes them, but for those that are given already.
func (a *app) keysLike(word string, given []string) (keys []string) {
	dir, err := a.dir()
	if err != nil {
		return nil
	}
	opts, err := a.options(forReading, io.Discard)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), completedTimeout)
	defer cancel()
	view, err := kv.OpenDiskView(ctx, dir, opts)
	if err != nil {
		return nil
	}
	defer view.Close()
	for pair, err := range view.Scan(ctx, kv.Range{Prefix: a.enc().prefixOf(word), Limit: completedLooks}) {
		if err != nil || len(keys) == completedKeys {
			break
		}
		text, ok := a.enc().word(pair.Key)
		if ok && strings.HasPrefix(text, word) && !slices.Contains(given, text) {
			keys = append(keys, text)
		}
	}
	return keys
}

// valueFlags are the flags whose values are neither words to choose from nor names of files.
var valueFlags = []string{
	"admin", "at", "batch", "end", "format", "from", "keep", "key", "limit", "members", "prefix", "since", "start", "timeout", "to", "to-offset", "to-time", "ttl", "value",
}

// completeNoFiles keeps names of files from completing whatever takes no FILE, on a command and those below it.
func completeNoFiles(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
		if strings.Contains(cmd.Use, "FILE") {
			cmd.ValidArgsFunction = aFile
		}
	}
	for _, name := range valueFlags {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions) // It fails only for a flag that doesn't exist.
		}
	}
	for _, child := range cmd.Commands() {
		completeNoFiles(child)
	}
}
