//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// noisyStore makes a store with more bytes than a pipe and all buffers hold, and that compression doesn't make fewer.
func noisyStore(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db, err := kv.Open(dir, kv.Options{Sync: kv.SyncNever})
	require.NoError(t, err)
	noise := rand.NewChaCha8([32]byte{})
	for i := range 4 {
		value := make([]byte, 1<<20)
		_, err := noise.Read(value)
		require.NoError(t, err)
		_, err = db.Put(fmt.Append(nil, i), value)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	return dir
}

// TestABackupOrRestoreThatAPipeHoldsUpEndsWithASignal interrupts commands whose pipe is neither read nor written any more.
func TestABackupOrRestoreThatAPipeHoldsUpEndsWithASignal(t *testing.T) {
	store := noisyStore(t)
	var backup bytes.Buffer
	cmd := exec.Command("kvctl", "--dir", store, "backup", "-")
	cmd.Stdout = &backup
	require.NoError(t, cmd.Run())
	for _, sent := range endSignals() {
		t.Run("backup, "+sent.String(), func(t *testing.T) {
			cmd := exec.Command("kvctl", "--dir", store, "backup", "-")
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			requireEndsWith(t, cmd, sent, func() {
				_, err = io.ReadFull(stdout, make([]byte, 1))
				require.NoError(t, err)
			}, "kvctl: backup: interrupted; no backup was made\n")
		})
		t.Run("restore, "+sent.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			cmd := exec.Command("kvctl", "--dir", dir, "restore", "-")
			stdin, err := cmd.StdinPipe()
			require.NoError(t, err)
			requireEndsWith(t, cmd, sent, func() {
				_, err = stdin.Write(backup.Bytes()[:backup.Len()/2])
				require.NoError(t, err)
				require.Eventually(t, func() bool { return exists(filepath.Join(dir, "RESTORING")) }, time.Minute, time.Millisecond)
			}, "kvctl: restore: interrupted; nothing was restored\n")
			require.NoDirExists(t, dir)
		})
		t.Run("backup to a file, "+sent.String(), func(t *testing.T) {
			fifo := filepath.Join(t.TempDir(), "fifo")
			require.NoError(t, syscall.Mkfifo(fifo, 0o600))
			reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
			require.NoError(t, err)
			defer reader.Close()
			requireEndsWith(t, exec.Command("kvctl", "--dir", store, "backup", fifo), sent, func() {
				_, err = io.ReadFull(reader, make([]byte, 1))
				require.NoError(t, err)
			}, "kvctl: backup: interrupted; no backup was made\n")
		})
	}
}

// TestAPipeWithoutAPartnerEndsWithTheContext waits for another program to open a pipe, or to write to it, until the context of an interrupt
// ends.
func TestAPipeWithoutAPartnerEndsWithTheContext(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	a := newTestApp()
	_, err := (&backup{app: a, ctx: soon(), name: fifo}).create()
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = a.openRestoreFiles(soon(), []string{fifo})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	writer, err := os.OpenFile(fifo, os.O_RDWR, 0)
	require.NoError(t, err)
	defer writer.Close()
	_, err = a.openRestoreFiles(soon(), []string{fifo})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestASecondHangupLetsTheCleanupGoOn gets two, as from a session that is lost. The second would end this process.
func TestASecondHangupLetsTheCleanupGoOn(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("the test was started to ignore it")
	}
	ctx, stop := interruptible()
	defer stop()
	for range 2 {
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
		<-ctx.Done()
		time.Sleep(10 * time.Millisecond) // Until a second one would end the process.
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // For one that arrives after stop.
}

// TestABackupThatIgnoresHangupsGoesOn starts one as nohup does.
func TestABackupThatIgnoresHangupsGoesOn(t *testing.T) {
	cmd := exec.Command("sh", "-c", `trap "" HUP; exec kvctl --dir "$0" backup -`, noisyStore(t))
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.ReadFull(stdout, make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	rest, err := io.Copy(io.Discard, stdout)
	require.NoError(t, err)
	require.Greater(t, rest, int64(4<<20))
	require.NoError(t, cmd.Wait())
}

// TestAListingThatIsInterruptedIsNoSuccess interrupts commands that write more than anything reads.
func TestAListingThatIsInterruptedIsNoSuccess(t *testing.T) {
	store := noisyStore(t)
	for _, line := range []string{"scan", "export", "wal dump", "wal dump --past-damage", "watch --until-now"} {
		for _, sent := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			t.Run(line+", "+sent.String(), func(t *testing.T) {
				cmd := exec.Command("kvctl", append([]string{"--dir", store}, strings.Fields(line)...)...)
				stdout, err := cmd.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, cmd.Start())
				_, err = io.ReadFull(stdout, make([]byte, 1))
				require.NoError(t, err)
				require.NoError(t, cmd.Process.Signal(sent))
				end := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
				defer end.Stop()
				require.Error(t, cmd.Wait())
				require.Equal(t, sent, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), "the signal ends the process")
			})
		}
	}
}

// TestAnInterruptedChangeMayBeDone interrupts a change that a node was asked for.
func TestAnInterruptedChangeMayBeDone(t *testing.T) {
	address, asked := silentNode(t)
	requireEndsWith(t, exec.Command("kvctl", "cluster", "--admin", address, "remove", "b"), os.Interrupt, func() { <-asked },
		"kvctl: interrupted before "+address+" answered, so it may be done; look: kvctl cluster status --admin "+address+"\n")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// requireEndsWith starts a command, waits until it has begun, and sends a signal, which must end it in time.
func requireEndsWith(t *testing.T, cmd *exec.Cmd, sent os.Signal, begun func(), want string) {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	begun()
	require.NoError(t, cmd.Process.Signal(sent))
	end := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer end.Stop()
	require.Error(t, cmd.Wait())
	require.Equal(t, exitFailed, cmd.ProcessState.ExitCode(), stderr.String())
	require.Equal(t, want, stderr.String())
}
