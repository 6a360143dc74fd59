//go:build unix

package main

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// terminal is a terminal on which kvctl runs.
type terminal struct {
	t    *testing.T
	pty  *os.File
	cmd  *exec.Cmd
	mu   sync.Mutex
	text string // What kvctl showed.
	seen int    // How much of it was expected.
}

func startShell(t *testing.T, dir string, args ...string) *terminal {
	return startOnTerminal(t, dir, append([]string{"shell"}, args...)...)
}

// startOnTerminal starts kvctl on a terminal of 24 lines and 80 columns.
func startOnTerminal(t *testing.T, dir string, args ...string) *terminal {
	cmd := exec.Command("kvctl", append([]string{"--dir", dir}, args...)...)
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	require.NoError(t, err)
	term := &terminal{t: t, pty: file, cmd: cmd}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = file.Close()
	})
	go func() {
		for buf := make([]byte, 4096); ; {
			n, err := file.Read(buf)
			term.mu.Lock()
			term.text += string(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return term
}

func (m *terminal) types(text string) {
	_, err := io.WriteString(m.pty, text)
	require.NoError(m.t, err)
}

// showsSoon waits for a time until kvctl shows a text after what was expected before.
func (m *terminal) showsSoon(want string, patience time.Duration) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		m.mu.Lock()
		at := strings.Index(m.text[m.seen:], want)
		if at >= 0 {
			m.seen += at + len(want)
		}
		m.mu.Unlock()
		if at >= 0 {
			return true
		}
	}
	return false
}

// shows waits until kvctl shows a text.
func (m *terminal) shows(want string) {
	m.t.Helper()
	require.True(m.t, m.showsSoon(want, 20*time.Second), "%q is not shown", want)
}

// repeats types the same again until kvctl shows a text.
func (m *terminal) repeats(typed, want string) {
	m.t.Helper()
	for range 100 {
		if m.types(typed); m.showsSoon(want, 300*time.Millisecond) {
			return
		}
	}
	require.FailNow(m.t, "not shown", "%q", want)
}

// ends waits until kvctl has ended and returns its exit code.
func (m *terminal) ends() int {
	timer := time.AfterFunc(20*time.Second, func() { _ = m.cmd.Process.Kill() })
	defer timer.Stop()
	_ = m.cmd.Wait()
	return m.cmd.ProcessState.ExitCode()
}

const (
	keyTab    = "\t"
	keyEnter  = "\r"
	keyUp     = "\x1b[A"
	keyCtrlC  = "\x03"
	keyCtrlD  = "\x04"
	prompt    = "kvctl> "
	txnPrompt = "  txn> "
)

// fill puts keys, each with itself as its value.
func fill(t *testing.T, dir string, keys ...string) {
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	for _, key := range keys {
		_, err := db.Put([]byte(key), []byte("value of "+key))
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
}

func TestShellCompletesCommandsFlagsAndKeys(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "fruit/apple", "fruit/apricot", "tree/oak tall", "tree/\xff")
	m := startShell(t, dir)
	m.shows(prompt)
	m.types("g" + keyTab + "fr" + keyTab) // get, and what both fruits have in common.
	m.shows("get fruit/ap")
	m.types(keyTab)
	m.shows("fruit/apple\r\nfruit/apricot\r\n")
	m.types("p" + keyTab + keyEnter)
	m.shows("value of fruit/apple\r\n" + prompt)
	m.types("get tree/o" + keyTab + keyEnter) // A blank needs quotes.
	m.shows(`get "tree/oak tall"`)
	m.shows("value of tree/oak tall\r\n" + prompt)
	m.types("get \"tree/\\xf" + "f" + keyTab + keyEnter) // A byte that is no text.
	m.shows("value of tree/\xff\r\n" + prompt)
	m.types("scan --ke" + keyTab + "--pre" + keyTab + "fruit/apr" + keyTab + keyEnter)
	m.shows("scan --keys-only --prefix fruit/apricot")
	m.shows("fruit/apricot\r\n" + prompt)
	m.types("s" + keyTab)
	m.shows("scan\r\nstats\r\n")
	m.types(keyCtrlC + "get nobody" + keyTab + keyEnter)
	m.shows(`kvctl: get "nobody": key not found`)
	m.shows(prompt)
	m.types(keyCtrlD)
	require.Zero(t, m.ends(), "a person has seen the error")
}

func TestShellFetchesEarlierLines(t *testing.T) {
	m := startShell(t, t.TempDir())
	m.shows("held no store")
	m.shows(prompt)
	m.types("put a first" + keyEnter)
	m.shows("1\r\n" + prompt)
	m.types("put a second" + keyEnter)
	m.shows("2\r\n" + prompt)
	m.types("put a second" + keyEnter) // The same again is there once.
	m.shows("3\r\n" + prompt)
	m.types(keyUp + keyUp + keyEnter)
	m.shows("4\r\n" + prompt)
	m.types("get a" + keyEnter)
	m.shows("first\r\n" + prompt)
	m.types("exit" + keyEnter)
	require.Zero(t, m.ends())
}

func TestShellRunsATypedTransaction(t *testing.T) {
	m := startShell(t, t.TempDir())
	m.shows(prompt)
	m.types("txn" + keyEnter)
	m.shows(txnPrompt)
	m.types("expect a --absent" + keyEnter)
	m.shows(txnPrompt)
	m.types("put a 1" + keyEnter)
	m.shows(txnPrompt)
	m.types("commit" + keyEnter)
	m.shows("1\r\n" + prompt)
	m.types("txn" + keyEnter)
	m.shows(txnPrompt)
	m.types("put a 2" + keyEnter)
	m.shows(txnPrompt)
	m.types(keyCtrlC)
	m.shows("txn: interrupted; nothing was written")
	m.shows(prompt)
	m.types("get a" + keyEnter)
	m.shows("1\r\n" + prompt)
	m.types(keyCtrlD)
	require.Zero(t, m.ends())
}

func TestInterruptEndsTheCommandAndNotTheShell(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "a")
	m := startShell(t, dir)
	m.shows(prompt)
	m.types("half a line" + keyCtrlC)
	m.shows(prompt)
	m.types("watch" + keyEnter)
	m.shows("watch\r\n")
	m.repeats(keyCtrlC, prompt) // The first may come while the terminal is still raw.
	m.types("get a" + keyEnter)
	m.shows("value of a\r\n" + prompt)
	require.NoError(t, m.cmd.Process.Signal(syscall.SIGTERM))
	m.shows("kvctl: interrupted\r\n") // With the return that a raw terminal would lack.
	require.Equal(t, exitFailed, m.ends())
	fill(t, dir, "b") // The store was closed.
}

func TestShellThatOnlyReadsSeesTheWriter(t *testing.T) {
	dir := t.TempDir()
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	defer db.Close()
	m := startShell(t, dir, "--read-only")
	m.shows(prompt)
	_, err = db.Put([]byte("later"), []byte("is seen"))
	require.NoError(t, err)
	m.repeats("get later"+keyEnter, "is seen\r\n"+prompt)
	m.types("put later 2" + keyEnter)
	m.shows("kvctl: the shell was started with --read-only\r\n" + prompt)
	m.types(keyCtrlD)
	require.Zero(t, m.ends())
}

func TestLineTooLongForTheEditorIsNotRun(t *testing.T) {
	dir := t.TempDir()
	m := startShell(t, dir)
	m.shows(prompt)
	for range 50 { // A terminal's own buffer takes less than a line at once.
		m.types(strings.Repeat("put a b ", 12))
		time.Sleep(5 * time.Millisecond)
	}
	m.types(keyEnter)
	m.shows("can't be typed")
	m.shows(prompt)
	m.types("scan --count" + keyEnter)
	m.shows("0\r\n" + prompt)
	m.types(keyCtrlD)
	require.Zero(t, m.ends())
}
