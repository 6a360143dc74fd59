// Command walnut-migrate copies what a bbolt file, a buntdb file or a Badger directory holds into a Walnut store:
//
//	walnut-migrate --from bbolt app.db --dir store
//
// It only reads the source, and prints how many pairs it copied. Pairs are written in commits of at most a thousand, each of
// them durable before the next one begins. So after an error the first pairs are in the store, and the message says how many.
// The same command with --into-existing then starts over and writes the same pairs again.
//
// The program is a separate module, so that users of the library never get the modules of the other stores.
// docs/from-bbolt.md, docs/from-buntdb.md and docs/from-badger.md are the guides.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// The exit codes, which are kvctl's.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitDamage = 4
)

func main() {
	if dir := os.Getenv(probeEnv); dir != "" {
		probed(dir)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second interrupt ends the process at once.
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the command line.
type settings struct {
	kind      string // Of the source: bbolt, buntdb or badger.
	path      string // Of the source.
	dir       string // Of the store.
	prefix    string // Goes before every key.
	bucket    string // Of bbolt; empty is every bucket.
	separator string // Goes between the name of a bucket and what is in it.
	existing  bool   // The store may have commits.
}

// run does all that the command does, and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	set, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		fmt.Fprintf(stderr, "walnut-migrate: %v; --help lists the flags\n", err)
		return exitUsage
	}
	done, err := migrate(ctx, set)
	for _, note := range done.notes {
		fmt.Fprintf(stderr, "walnut-migrate: %s\n", note)
	}
	if err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		fmt.Fprintf(stderr, "walnut-migrate: %s; %s\n", text, done.durable(set.dir))
		if errors.Is(err, errDamaged) {
			return exitDamage
		}
		return exitFailed
	}
	if _, err := fmt.Fprintf(stdout, "%d pairs, %d with a deadline, in %d commits\n", done.pairs, done.deadlines, done.commits); err != nil {
		return exitFailed
	}
	return exitDone
}

// parse reads the command line. Flags may come before and after the source.
func parse(args []string, stderr io.Writer) (settings, error) {
	var set settings
	flags := flag.NewFlagSet("walnut-migrate", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&set.kind, "from", "", "what the source is: bbolt, buntdb or badger")
	flags.StringVar(&set.dir, "dir", "", "the directory of the store; it is made if it is missing")
	flags.StringVar(&set.prefix, "prefix", "", "put this before every key")
	flags.StringVar(&set.bucket, "bucket", "", "bbolt: copy this bucket alone, without its name")
	flags.StringVar(&set.separator, "separator", "/", "bbolt: what goes between the name of a bucket and a key")
	flags.BoolVar(&set.existing, "into-existing", false, "copy into a store that has commits; pairs with the same keys are replaced")
	var sources []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fmt.Fprintln(stderr, "usage: walnut-migrate --from bbolt|buntdb|badger FILE-or-DIR --dir STORE")
				flags.SetOutput(stderr)
				flags.PrintDefaults()
			}
			return set, err
		}
		if args = flags.Args(); len(args) > 0 {
			sources, args = append(sources, args[0]), args[1:]
		}
	}
	if len(sources) == 1 {
		set.path = sources[0]
	}
	return set, set.check(len(sources))
}

func (s settings) check(sources int) error {
	switch {
	case !slices.Contains([]string{"bbolt", "buntdb", "badger"}, s.kind):
		return fmt.Errorf("--from %q: want bbolt, buntdb or badger", s.kind)
	case sources != 1:
		return fmt.Errorf("%d sources: want one file or directory", sources)
	case s.dir == "":
		return errors.New("name the store with --dir")
	case s.bucket != "" && s.kind != "bbolt":
		return fmt.Errorf("--bucket is for bbolt: %s has no buckets", s.kind)
	case s.separator == "" && s.kind == "bbolt":
		return errors.New("--separator is empty: names of buckets and keys would run into each other")
	}
	return nil
}
