package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestExitCodeSaysWhatKindOfErrorItWas(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"no error", nil, exitDone},
		{"a reader that closed its pipe", fmt.Errorf("write: %w", syscall.EPIPE), exitDone},
		{"any error", errors.New("broken disk"), exitFailed},
		{"a store that is in use", fmt.Errorf("open: %w", kv.ErrLocked), exitFailed},
		{"no store", fmt.Errorf("open: %w", kv.ErrNotStore), exitFailed},
		{"wrong usage", fmt.Errorf("put: %w", usagef("--ttl")), exitUsage},
		{"no such key", fmt.Errorf("get: %w", kv.ErrNotFound), exitNotFound},
		{"damage met", fmt.Errorf("open: %w", &kv.CorruptError{Err: errors.New("checksum")}), exitDamage},
		{"damage met elsewhere", fmt.Errorf("restore: %w", closerError{&kv.CorruptError{Err: errors.New("checksum")}, ""}), exitDamage},
		{"interrupted", errInterrupted, exitFailed},
		{"damage found", fmt.Errorf("check: %w", damageFoundError{"damaged"}), exitDamage},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, exitCode(c.err)) })
	}
}

func TestScanEndsQuietlyWhenItsReaderStops(t *testing.T) {
	dir := t.TempDir()
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	// More than a pipe and all buffers hold, so that kvctl can't write all of it.
	for i := range 4 {
		_, err := db.Put(fmt.Append(nil, i), bytes.Repeat([]byte("v"), 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	scan := exec.Command("kvctl", "--dir", dir, "scan")
	var stderr bytes.Buffer
	scan.Stderr = &stderr
	stdout, err := scan.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, scan.Start())
	_, err = stdout.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, stdout.Close())
	require.NoError(t, scan.Wait(), "exit code 0")
	require.Empty(t, stderr.String())
}

func TestABackupWhoseReaderStopsHasFailed(t *testing.T) {
	dir := t.TempDir()
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	// More than a pipe and all buffers hold, and nothing that compression makes smaller.
	noise := rand.NewChaCha8([32]byte{})
	for i := range 4 {
		value := make([]byte, 1<<20)
		_, err := noise.Read(value)
		require.NoError(t, err)
		_, err = db.Put(fmt.Append(nil, i), value)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	backup := exec.Command("kvctl", "--dir", dir, "backup", "-")
	var stderr bytes.Buffer
	backup.Stderr = &stderr
	stdout, err := backup.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, backup.Start())
	_, err = stdout.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, stdout.Close())
	var exit *exec.ExitError
	require.ErrorAs(t, backup.Wait(), &exit)
	require.Equal(t, exitFailed, exit.ExitCode())
	require.Regexp(t, `^kvctl: backup: .*broken pipe\n$`, stderr.String())
}

// TestAShellWhoseReaderStopsHasNotRunItsLines feeds one that can write, and one that can't. Nothing reads what they print.
func TestAShellWhoseReaderStopsHasNotRunItsLines(t *testing.T) {
	dir := t.TempDir()
	shell := func(lines string, flags ...string) (code int, stderr string) {
		reader, writer, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, reader.Close())
		defer writer.Close()
		var said bytes.Buffer
		cmd := exec.Command("kvctl", append([]string{"--dir", dir, "shell"}, flags...)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(lines), writer, &said
		_ = cmd.Run() // The exit code says how it ended.
		return cmd.ProcessState.ExitCode(), said.String()
	}
	code, stderr := shell("put a 1\nput b 2\nput c 3\n")
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `\nkvctl: shell: line 1: .*broken pipe.*; the lines after it were not run\n$`, stderr)
	db, err := kv.Open(dir, kv.Options{ReadOnly: true})
	require.NoError(t, err)
	require.EqualValues(t, 1, db.Stats().Keys)
	require.NoError(t, db.Close())

	code, stderr = shell("get a\nget b\n", "--read-only")
	require.Equal(t, []any{exitDone, ""}, []any{code, stderr}, "the reader has what it wanted")
}

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this system has no /dev/full")
	}
	defer full.Close()
	var stderr bytes.Buffer
	code := run([]string{"version"}, nil, full, &stderr, func(string) string { return "" })
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr.String(), "write to standard output")
}

// TestAChangeWhoseResultCannotBePrintedIsSaidToBeDone runs changes one after another on one store.
func TestAChangeWhoseResultCannotBePrintedIsSaidToBeDone(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this system has no /dev/full")
	}
	defer full.Close()
	dir, walnutd := t.TempDir(), newWalnutd(t)
	copied := filepath.Join(dir, "copy")
	for _, c := range []struct{ command, stdin, want string }{
		{"put a 1", "", "; the write is done, at offset 1"},
		{"txn -", `{"op":"put","key":"b","value":"2"}`, "; the write is done, at offset 2"},
		{"import -", `{"key":"c","value":"3"}`, "; all pairs are in and durable, up to offset 3"},
		{"del c", "", "; the write is done, at offset 4"},
		{"del c", "", ""},
		{"shell", "put d 4\nput e 5\n", "; the write is done, at offset 5; the lines after it were not run"},
		{"checkpoint", "", "; the checkpoint is done, as of offset 5"},
		{"put f 6", "", "; the write is done, at offset 6"},
		{"checkpoint", "", "; the checkpoint is done, as of offset 6"},
		{"snapshot prune --keep 1", "", "; the removal of 1 snapshot is done"},
		{"backup " + copied, "", "; the backup is made, as of offset 6"},
		{"--dir " + dir + "/new restore " + copied, "", "; the restore is done, up to offset 6"},
		{"get a", "", ""},
		{"cluster --admin " + walnutd + " transfer a", "", "; the change is done"},
	} {
		var stderr bytes.Buffer
		args := append([]string{"--dir", dir + "/store"}, strings.Fields(c.command)...)
		require.Equal(t, exitFailed, run(args, strings.NewReader(c.stdin), full, &stderr, func(string) string { return "" }), c.command)
		require.Regexp(t, `(^|\n)kvctl: .*write to standard output: write /dev/full: no space left on device`+c.want+`\n$`, stderr.String(), c.command)
	}
}

func TestReportIsOneLine(t *testing.T) {
	var stderr bytes.Buffer
	a := &app{stderr: &stderr, getenv: func(string) string { return "my store" }}
	a.report(errors.Join(errors.New("first"), &kv.CorruptError{Path: "x.store", Position: 7, Err: errors.New("second")}))
	require.Equal(t, 1, strings.Count(stderr.String(), "\n"))
	require.Contains(t, stderr.String(), "x.store at position 7")
	require.True(t, strings.HasSuffix(stderr.String(), "; plan a repair: kvctl --dir 'my store' wal repair\n"), stderr.String())
}

func TestReportNamesTheNextCommand(t *testing.T) {
	damage := &kv.CorruptError{Path: "copy.walnut", Err: errors.New("checksum")}
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"damage to the store", "; plan a repair: kvctl --dir store wal repair\n", damage},
		{"damage to a backup", "; look closer: kvctl snapshot verify copy.walnut\n", closerError{damage, "kvctl snapshot verify copy.walnut"}},
		{"damage to what no command can read again", "checksum\n", closerError{damage, ""}},
		{"no damage", "broken\n", errors.New("broken")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			(&app{stderr: &stderr, dirFlag: "store"}).report(c.err)
			require.True(t, strings.HasSuffix(stderr.String(), c.want), stderr.String())
		})
	}
}

func TestShellReadsAQuotedWordBack(t *testing.T) {
	for _, word := range []string{"", "plain/path-1.2", "two words", "it's", "$HOME", "a\nb", "~", "ü", `back\slash`, "*"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(word)).Output()
		require.NoError(t, err)
		require.Equal(t, word, string(out))
	}
}
