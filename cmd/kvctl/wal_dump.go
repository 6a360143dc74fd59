package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

func newWalDump(a *app) *cobra.Command {
	var from, to uint64
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Show the log's records with their mutations",
		Long: `dump shows the commits of the log in order, each with its offset, time, encoded
size and mutations. In a damaged log it shows the commits before the damage, and
then says where the damage is.

Text output is a line a commit and an indented line a mutation, with keys and
values as scan writes them. JSON is an object a commit.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store put user:1 Grace
  kvctl --dir store wal dump
  kvctl --dir store wal dump --from 2 --to 2 -o json`,
		Args: asUsed,
	}
	cmd.Flags().Uint64Var(&from, "from", 0, "the first offset (default the first held)")
	cmd.Flags().Uint64Var(&to, "to", 0, "the last offset (default the last held)")
	cmd.RunE = a.starts(func([]string) error {
		if to != 0 && from > to {
			return usagef("wal dump: --from %d is greater than --to %d", from, to)
		}
		return a.withLog(func(log *kv.Log) error {
			if err := a.dump(log, from, to); err != nil {
				return fmt.Errorf("wal dump: %w", err)
			}
			return nil
		})
	})
	return cmd
}

func (a *app) dump(log *kv.Log, from, to uint64) error {
	write := a.printCommit
	if a.wantsJSON() {
		write = a.printCommitJSON
	}
	met := false
	for commit, err := range log.Commits(from) {
		if err != nil {
			return err
		}
		met = true
		if to != 0 && commit.Offset > to {
			return nil
		}
		if err := write(commit); err != nil {
			return err
		}
		if commit.Offset == to {
			return nil
		}
	}
	if from > log.Last() && !met {
		return fmt.Errorf("offset %d is past the last one, %d", from, log.Last())
	}
	return nil
}

func (a *app) printCommit(c kv.Commit) error {
	_, err := fmt.Fprintf(a.stdout, "%d  %s  %d bytes  %d %s\n", c.Offset, formatTime(c.Time), c.Size, len(c.Mutations),
		plural(len(c.Mutations), "mutation"))
	var line []byte
	for _, mutation := range c.Mutations {
		if err != nil {
			return err
		}
		line = a.appendMutation(line[:0], mutation)
		_, err = a.stdout.Write(line)
	}
	return err
}

// appendMutation appends the line of a mutation: its kind and its fields, separated by tabs.
func (a *app) appendMutation(line []byte, m kv.Mutation) []byte {
	line = fmt.Appendf(line, "    %s\t", m.Kind)
	line = a.enc().appendText(line, m.Key)
	switch m.Kind {
	case kv.MutationPut:
		line = append(line, '\t')
		line = a.enc().appendText(line, m.Value)
	case kv.MutationDeleteRange:
		line = append(line, '\t')
		line = a.enc().appendText(line, m.End)
	}
	if !m.Deadline.IsZero() {
		line = append(append(line, "\texpires "...), formatTime(m.Deadline)...)
	}
	return append(line, '\n')
}

// commitJSON is a commit as JSON output has it.
type commitJSON struct {
	Kind      string         `json:"kind"`
	Offset    uint64         `json:"offset"`
	Time      string         `json:"time"`
	Size      int            `json:"size"`
	Mutations []mutationJSON `json:"mutations"`
}

// mutationJSON is a mutation as JSON output has it: a put has a key and a value, a delete a key, a range delete a start and
// an end. An open start or end is left out.
type mutationJSON struct {
	Op string `json:"op"`
	pairJSON
	Start       *string `json:"start,omitempty"`
	StartBase64 []byte  `json:"start_base64,omitempty"`
	End         *string `json:"end,omitempty"`
	EndBase64   []byte  `json:"end_base64,omitempty"`
}

func (a *app) printCommitJSON(c kv.Commit) error {
	commit := commitJSON{Kind: kindCommit, Offset: c.Offset, Time: formatTime(c.Time), Size: c.Size, Mutations: []mutationJSON{}}
	for _, mutation := range c.Mutations {
		commit.Mutations = append(commit.Mutations, newMutationJSON(mutation, a.enc()))
	}
	return a.printJSON(commit)
}

func newMutationJSON(m kv.Mutation, enc encoding) mutationJSON {
	out := mutationJSON{Op: m.Kind.String()}
	if m.Kind == kv.MutationDeleteRange {
		if len(m.Key) > 0 {
			out.Start, out.StartBase64 = enc.jsonForm(m.Key)
		}
		if len(m.End) > 0 {
			out.End, out.EndBase64 = enc.jsonForm(m.End)
		}
		return out
	}
	out.Key, out.KeyBase64 = enc.jsonForm(m.Key)
	if m.Kind == kv.MutationPut {
		out.Value, out.ValueBase64 = enc.jsonForm(m.Value)
	}
	if !m.Deadline.IsZero() {
		out.Deadline = formatTime(m.Deadline)
	}
	return out
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
