package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// app is a run of kvctl: its streams, its environment and the flags that every command takes.
//
// Invariant: commands write data to stdout, which is buffered and flushed once by run, and nothing else there.
type app struct {
	stdin     io.Reader
	stdout    *bufio.Writer
	rawStdout io.Writer // What stdout writes to.
	stderr    io.Writer
	getenv    func(string) string

	dirFlag  string
	output   choice
	encoding choice
	sync     choice
	verbose  bool

	// toTerminal is whether standard output is a terminal, which binary output would garble.
	toTerminal bool

	// session is the store that a shell has open, for the commands that are typed there. It is nil elsewhere.
	session *session

	// serving is set for a command that goes on as a server, whose log is read later.
	serving bool

	// started is set once a command's flags and arguments were accepted. An error before that is wrong usage.
	started bool

	// done says what the command has changed, for the error of a result that can't be printed. It is empty for one that only reads.
	done string
}

// run executes a command line and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := &app{
		stdin: stdin, stdout: newOutput(stdout), rawStdout: stdout, stderr: stderr, getenv: getenv,
		output:   newChoice(outputText, outputJSON),
		encoding: newChoice(string(encodingUTF8), string(encodingHex), string(encodingBase64)),
		sync:     newChoice("always", "interval", "never"),

		toTerminal: isTerminal(stdout),
	}
	err := a.execute(newRoot(a), args)
	a.report(err)
	return exitCode(err)
}

// execute runs a command line and returns the error that ended it.
func (a *app) execute(root *cobra.Command, args []string) error {
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err != nil && !a.started {
		err = usageError{fmt.Errorf("%w (see %s)", err, a.helpFor(cmd))}
	}
	// Output written before an error is still good, so it is flushed before the error is printed.
	if flushErr := a.stdout.Flush(); err == nil && flushErr != nil {
		err = a.unprinted(flushErr)
	}
	return err
}

// unprinted returns the error of a result that can't be written. What the command has changed stays, which the error alone can say.
func (a *app) unprinted(err error) error {
	err = fmt.Errorf("write to standard output: %w", err)
	if a.done == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, a.done)
}

// wrote notes that a command's commit is done.
func (a *app) wrote(offset uint64) { a.done = fmt.Sprintf("the write is done, at offset %d", offset) }

// helpFor returns what shows the help of a command. In a shell no line begins with kvctl.
func (a *app) helpFor(cmd *cobra.Command) string {
	switch {
	case a.session == nil:
		return cmd.CommandPath() + " --help"
	case !cmd.HasParent():
		return "help"
	}
	return "help " + cmd.Name()
}

// newOutput returns a buffered writer to a stream.
func newOutput(to io.Writer) *bufio.Writer { return bufio.NewWriterSize(to, 64<<10) }

// newRoot builds the command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "kvctl",
		Short: "Read, write and look after Walnut stores",
		Long: `kvctl reads, writes and looks after Walnut stores.

A command that only reads works beside a live writer and changes nothing on
disk. A command that writes takes the store's lock, and fails at once if another
process holds it.

Data goes to standard output, everything else to standard error. With -o json
each line is an object, and its "kind" says of what.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found (get), 4 damage found.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store get user:1
  KVCTL_DIR=store kvctl scan --prefix user:`,
	}
	a.equip(root)
	a.addGlobalFlags(root)
	root.AddGroup(&cobra.Group{ID: "data", Title: "Data:"}, &cobra.Group{ID: "care", Title: "Care:"})
	addTo(root, "data", newPut(a), newGet(a), newDel(a), newScan(a), newTxn(a), newImport(a), newExport(a), newWatch(a), newServe(a),
		newShell(a))
	addTo(root, "care", newStats(a), newCheck(a), newCheckpoint(a), newSnapshot(a), newBackup(a), newRestore(a), newWal(a),
		newBench(a), newCrashTest(a), newCrashWorker(a), newCluster(a))
	addTo(root, "", newVersion(a), newCompletion(a))
	root.SetHelpCommand(newHelp(a))
	_ = root.MarkPersistentFlagDirname("dir") // It fails only for a flag that doesn't exist.
	completeNoFiles(root)
	return root
}

// equip sets what every root of a command tree has, but for its flags.
func (a *app) equip(root *cobra.Command) {
	root.Args, root.RunE = noSuchCommand, whichCommand
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetUsageTemplate(strings.ReplaceAll(usageTemplate, "WIDTH", strconv.Itoa(helpWidth)))
	root.SetFlagErrorFunc(flagError)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.CompletionOptions.DisableDefaultCmd = true
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
}

func (a *app) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&a.dirFlag, "dir", "", "the store's directory (default $KVCTL_DIR)")
	a.addFormatFlags(root)
	flags.Var(&a.sync, "sync", "when a write is synced: before it returns, at intervals, or when the command ends")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "also show the store's log of its routine work")
	flags.BoolP("help", "h", false, "show this help")
	completeDirectory(root, "dir")
	completeWords(root, "sync", a.sync.allowed...)
}

// addFormatFlags adds the flags that say how data is written and read.
func (a *app) addFormatFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.VarP(&a.output, "output", "o", "text for people, or one JSON object a line for programs")
	flags.Var(&a.encoding, "encoding", "how keys and values are written and read")
	for name, flag := range map[string]choice{"output": a.output, "encoding": a.encoding} {
		completeWords(root, name, flag.allowed...)
	}
}

func addTo(parent *cobra.Command, group string, children ...*cobra.Command) {
	for _, child := range children {
		child.GroupID = group
		parent.AddCommand(child)
	}
}

// starts returns a cobra RunE that notes that usage was right and calls the command's function.
func (a *app) starts(command func(args []string) error) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		a.started = true
		return command(args)
	}
}

// choice is a flag whose value is one of some words; the first is the default.
type choice struct {
	value   string
	allowed []string
}

func newChoice(allowed ...string) choice { return choice{value: allowed[0], allowed: allowed} }

// String returns the chosen word.
func (c *choice) String() string { return c.value }

// Type returns what help shows in place of the value.
func (c *choice) Type() string { return strings.Join(c.allowed, "|") }

// Set chooses a word.
func (c *choice) Set(value string) error {
	if !slices.Contains(c.allowed, value) {
		return fmt.Errorf("want %s", strings.Join(c.allowed, ", "))
	}
	c.value = value
	return nil
}
