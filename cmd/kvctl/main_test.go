package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// raceOptions keep a kvctl that is built with the race detector from sleeping for a second when it ends, which
// hundreds of them would feel.
const raceOptions = "atexit_sleep_ms=0"

// TestMain puts kvctl, which is this test binary under that name, into the PATH of every test.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", raceOptions+" "+os.Getenv("GORACE"))
	testscript.Main(m, map[string]func(){"kvctl": main})
}

// TestScripts runs testdata/script/*.txtar. Besides testscript's own commands they have:
//
//	exits CODE COMMAND…   runs a command that must end with this exit code; a kvctl that fails says so in one line
//	hold DIR              keeps a kvctl that writes to DIR running until the script ends, its process id in $HOLDER
//	damage FILE WORD      flips one bit of the first WORD in a file, which may be a pattern
//	zero FILE WORD        zeroes 16 bytes from the first WORD on in a file, which may be a pattern
//	rawsize FILE N        the file holds N bytes
//	history DIR N         makes a store of N commits in small segments; commit I puts I under the key k, and under kI
//	flip FILE POSITION    flips one bit at a position; a negative one counts from the file's end
//	cut FILE N            takes the last N bytes off
//	newer FILE            makes a snapshot one of a newer format, checksum and all
//	ask ADDRESS WANT …    sends lines, with a comma between two, to the server on a Unix socket, or gets a URL, until the answers match WANT
//	freeport NAME         sets a variable to a port that nothing listens on
//	leave FILE            makes a Unix socket that nothing listens on
//	each GROUP CODE WANT  runs each command of a group, as exits does; standard error must match WANT, which is '' for nothing
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("testdata", "script"),
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "hold": hold, "damage": damage, "zero": zero, "rawsize": rawSize,
			"history": history, "flip": flip, "cut": cut, "newer": newer, "each": each,
			"ask": ask, "freeport": freePort, "leave": leave,
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no condition %s", name)
		},
	})
}

// newStore is the line of a command that made a store. A command that fails later has said it already.
var newStore = regexp.MustCompile(`^.* held no store; made a new one in it\n`)

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	default:
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	said := newStore.ReplaceAllString(ts.ReadFile("stderr"), "")
	if want != 0 && (!strings.HasPrefix(said, "kvctl: ") || strings.Count(said, "\n") != 1) {
		ts.Fatalf("want one line that begins with kvctl: on standard error")
	}
}

func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hold DIR")
	}
	cmd := exec.Command("kvctl", "--dir", ts.MkAbs(args[0]), "import", "-", "--batch", "1", "--ack")
	stdin, err := cmd.StdinPipe()
	ts.Check(err)
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		stdin.Close()
		cmd.Wait()
	})
	// The acknowledgement of one pair says that the store is open.
	_, err = io.WriteString(stdin, `{"key":"held","value":"yes"}`+"\n")
	ts.Check(err)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	ts.Check(err)
	ts.Logf("%s", line)
	ts.Setenv("HOLDER", strconv.Itoa(cmd.Process.Pid))
}

func damage(ts *testscript.TestScript, neg bool, args []string) {
	changeWord(ts, neg, args, "damage FILE WORD", func(from []byte) { from[0] ^= 1 })
}

func zero(ts *testscript.TestScript, neg bool, args []string) {
	changeWord(ts, neg, args, "zero FILE WORD", func(from []byte) { clear(from[:16]) })
}

// changeWord changes a file from the first place on where it has a word.
func changeWord(ts *testscript.TestScript, neg bool, args []string, usage string, change func(from []byte)) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: %s", usage)
	}
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, name := range names {
		data, err := os.ReadFile(name)
		ts.Check(err)
		if at := bytes.Index(data, []byte(args[1])); at >= 0 {
			change(data[at:])
			ts.Check(os.WriteFile(name, data, 0o600))
			return
		}
	}
	ts.Fatalf("no %s in %v", args[1], names)
}

func rawSize(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: rawsize FILE N")
	}
	if got := len(ts.ReadFile(args[0])); strconv.Itoa(got) != args[1] {
		ts.Fatalf("%s holds %d bytes, want %s", args[0], got, args[1])
	}
}
