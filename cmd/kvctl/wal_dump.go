package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/kv"
)

// dumpFlags choose the records that dump shows.
type dumpFlags struct {
	from, to     uint64
	since, until string
	prefix       string
	pastDamage   bool
	follow       bool

	sinceTime, untilTime time.Time
	prefixBytes          []byte
}

func newWalDump(a *app) *cobra.Command {
	var flags dumpFlags
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Show the log's records with their mutations",
		Long: `dump shows the commits of the log in order, each with its offset, time, encoded
size and mutations. In a damaged log it shows the commits before the damage, and
then says where the damage is. With --past-damage it goes on: it shows each
damaged stretch with its file, position and bytes, and the commits after it that
can be read. Those are labelled unproven: nothing shows that they are the ones
that followed.

With --prefix it shows the mutations of keys that begin with that, and of ranges
that reach into them, and leaves out commits without any. --follow goes on with
new commits, beside a live writer, until it is interrupted, or the time --until
is over. It may begin with the next commit, but with none after that.

Text output is a line a commit and an indented line a mutation, with keys and
values as scan writes them. JSON is an object a commit, or a damaged stretch.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store put user:1 Grace
  kvctl --dir store wal dump
  kvctl --dir store wal dump --from 2 --to 2 -o json
  kvctl --dir store wal dump --since 2026-01-31T00:00:00Z --prefix user:
  kvctl --dir store wal dump --past-damage`,
		Args: asUsed,
	}
	f := cmd.Flags()
	f.Uint64Var(&flags.from, "from", 0, "the first offset (default the first held)")
	f.Uint64Var(&flags.to, "to", 0, "the last offset (default the last held)")
	f.StringVar(&flags.since, "since", "", "commits made at this time or later, such as 2026-01-31T23:59:00Z")
	f.StringVar(&flags.until, "until", "", "commits made at this time or before")
	f.StringVar(&flags.prefix, "prefix", "", "changes of keys that begin with this")
	f.BoolVar(&flags.pastDamage, "past-damage", false, "show damaged stretches, and go on after them")
	f.BoolVar(&flags.follow, "follow", false, "go on with new commits")
	cmd.RunE = a.starts(func([]string) error {
		if err := flags.parse(a.enc()); err != nil {
			return err
		}
		err := a.dumpWith(flags)
		if err != nil {
			return fmt.Errorf("wal dump: %w", err)
		}
		return nil
	})
	return cmd
}

// parse reads the flags' values.
func (f *dumpFlags) parse(enc encoding) (err error) {
	if f.pastDamage && f.follow {
		return usagef("wal dump: want --past-damage or --follow, but not both")
	}
	if f.to != 0 && f.from > f.to {
		return usagef("wal dump: --from %d is greater than --to %d", f.from, f.to)
	}
	for _, moment := range []struct {
		name, text string
		into       *time.Time
	}{{"--since", f.since, &f.sinceTime}, {"--until", f.until, &f.untilTime}} {
		if moment.text == "" {
			continue
		}
		if *moment.into, err = time.Parse(time.RFC3339, moment.text); err != nil {
			return usagef("wal dump: %s %s: want a time such as 2026-01-31T23:59:00Z", moment.name, shown(moment.text))
		}
	}
	if f.until != "" && f.sinceTime.After(f.untilTime) {
		return usagef("wal dump: --since %s is after --until %s", f.since, f.until)
	}
	if f.prefix != "" {
		f.prefixBytes, err = enc.argument("--prefix", f.prefix)
	}
	return err
}

// choose reports whether a commit is to be shown, and leaves it the mutations that are.
func (f *dumpFlags) choose(c *kv.Commit) bool {
	if c.Time.Before(f.sinceTime) || f.until != "" && c.Time.After(f.untilTime) {
		return false
	}
	return f.prefixBytes == nil || keepTouching(c, f.prefixBytes)
}

// dumpWith shows what the flags choose.
func (a *app) dumpWith(flags dumpFlags) error {
	switch {
	case flags.pastDamage:
		return a.dumpPastDamage(flags)
	case flags.follow:
		return a.dumpFollowing(flags)
	}
	return a.withLog(func(log *kv.Log) error {
		if err := a.dump(log.Commits(flags.from), flags); err != nil {
			return err
		}
		return checkFrom(flags.from, log.Last())
	})
}

// checkFrom returns an error if the first commit that is wanted isn't there yet.
func checkFrom(from, last uint64) error {
	if from > last && from > 0 {
		return fmt.Errorf("offset %d is past the last one, %d", from, last)
	}
	return nil
}

// checkNext returns an error if the first commit that is wanted isn't there, nor the next one to be made: it could come for years.
func checkNext(from, last uint64) error {
	if from > 0 && from-1 > last {
		return checkFrom(from, last)
	}
	return nil
}

// lateCommits is how long after --until a commit made by then may take until it can be read.
const lateCommits = time.Second

// dumpFollowing shows commits as they are made. An interrupt is its proper end; without --follow it ends the process.
func (a *app) dumpFollowing(flags dumpFlags) error {
	ctx, stop := interruptible()
	defer stop()
	following := ctx
	if flags.until != "" {
		limited, end := context.WithDeadline(ctx, flags.untilTime.Add(lateCommits))
		defer end()
		following = limited
	}
	return a.withLog(func(log *kv.Log) error {
		if err := checkNext(flags.from, log.Last()); err != nil {
			return err
		}
		seen := flags
		err := a.dump(noting(&seen.from, log.Follow(following, flags.from)), flags)
		switch {
		case ctx.Err() != nil:
			return nil // Nobody wants more.
		case following.Err() != nil:
			return a.dump(log.Commits(seen.from), flags) // Those that are there at the end.
		}
		return err
	}, func(o *kv.Options) { o.Follow = true })
}

// noting yields commits and sets next to the offset after the last one.
func noting(next *uint64, commits iter.Seq2[kv.Commit, error]) iter.Seq2[kv.Commit, error] {
	return func(yield func(kv.Commit, error) bool) {
		for commit, err := range commits {
			if err == nil {
				*next = commit.Offset + 1
			}
			if !yield(commit, err) {
				return
			}
		}
	}
}

// dump shows commits.
func (a *app) dump(commits iter.Seq2[kv.Commit, error], flags dumpFlags) error {
	for commit, err := range commits {
		if err != nil {
			return err
		}
		if flags.to != 0 && commit.Offset > flags.to {
			return nil
		}
		if flags.choose(&commit) {
			if err := a.printPiece(kv.Piece{Commit: commit}); err != nil {
				return err
			}
			if flags.follow {
				if err := a.stdout.Flush(); err != nil { // The next one may take its time.
					return err
				}
			}
		}
		if commit.Offset == flags.to {
			return nil
		}
	}
	return nil
}

// dumpPastDamage shows commits and damaged stretches.
func (a *app) dumpPastDamage(flags dumpFlags) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	damaged, last := 0, uint64(0)
	for piece, err := range kv.Salvage(context.Background(), dir, kv.Options{}) {
		if err != nil {
			return err
		}
		last = max(last, piece.Offset)
		if flags.to != 0 && piece.Offset > flags.to {
			break
		}
		if piece.Err != nil {
			damaged++
			if piece.Last != 0 && piece.Last < flags.from {
				continue
			}
		} else if piece.Offset < flags.from || !flags.choose(&piece.Commit) {
			continue
		}
		if err := a.printPiece(piece); err != nil {
			return err
		}
	}
	if damaged == 0 {
		return checkFrom(flags.from, last)
	}
	return damageFoundError{fmt.Sprintf("%s; %s", damagedPlaces(dir, damaged), a.planRepair())}
}

func (a *app) printPiece(p kv.Piece) error {
	if a.wantsJSON() {
		return a.printPieceJSON(p)
	}
	if p.Err != nil {
		_, err := fmt.Fprintf(a.stdout, "damage  %s at position %d, %d %s, %s: %v\n", p.Path, p.Position, p.Bytes, plural(int(p.Bytes), "byte"),
			offsetsOf(p), p.Err)
		return err
	}
	c, label := p.Commit, ""
	if p.Unproven {
		label = "  unproven"
	}
	_, err := fmt.Fprintf(a.stdout, "%d  %s  %d bytes  %d %s%s\n", c.Offset, formatTime(c.Time), c.Size, len(c.Mutations),
		plural(len(c.Mutations), "mutation"), label)
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

// offsetsOf says which commits a damaged stretch should hold.
func offsetsOf(p kv.Piece) string {
	switch {
	case p.Last == 0:
		return fmt.Sprintf("offsets from %d on", p.Offset)
	case p.Last < p.Offset:
		return fmt.Sprintf("no commits, before offset %d", p.Offset)
	case p.Last == p.Offset:
		return fmt.Sprintf("offset %d", p.Offset)
	}
	return fmt.Sprintf("offsets %d to %d", p.Offset, p.Last)
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
	Unproven  bool           `json:"unproven,omitempty"`
	Mutations []mutationJSON `json:"mutations"`
}

// stretchJSON is a damaged stretch of the log as JSON output has it. The last commit that it should hold is left out if that isn't known.
type stretchJSON struct {
	Kind     string `json:"kind"`
	Path     string `json:"path"`
	Position int64  `json:"position"`
	Bytes    int64  `json:"bytes"`
	Offset   uint64 `json:"offset"`
	Last     uint64 `json:"last,omitempty"`
	Problem  string `json:"problem"`
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

func (a *app) printPieceJSON(p kv.Piece) error {
	if p.Err != nil {
		return a.printJSON(stretchJSON{kindStretch, p.Path, p.Position, p.Bytes, p.Offset, p.Last, p.Err.Error()})
	}
	c := p.Commit
	commit := commitJSON{Kind: kindCommit, Offset: c.Offset, Time: formatTime(c.Time), Size: c.Size, Unproven: p.Unproven, Mutations: []mutationJSON{}}
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
