package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/server"
)

// taken keeps what was logged since it was taken last.
type taken struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes a line.
func (l *taken) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *taken) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func TestUsersAreReadAgainAfterTheirFileHasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("user ada on >secret ~* +@all\n")
	synctest.Test(t, func(t *testing.T) {
		var log taken
		var given atomic.Int64
		file := &server.UsersFile{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		users, err := file.Read()
		require.NoError(t, err)
		require.NotNil(t, users)
		again := make(chan os.Signal, 1)
		hangUp := func() { again <- syscall.SIGHUP }
		go file.Watch(t.Context(), again, func(users *server.Users) {
			if users != nil {
				given.Add(1)
			}
		})
		for _, step := range []struct {
			name            string
			change          func()
			given, warnings int
		}{
			{"nothing has changed", func() {}, 0, 0},
			{"another user", func() { write("user ada on >secret ~* +@all\nuser bob\n") }, 1, 0},
			{"a signal without a change", hangUp, 1, 0},
			{"a rule that isn't known", func() { write("user ada on secret\n") }, 0, 1},
			{"a signal while there is one", hangUp, 0, 1},
			{"users again", func() { write("user bob on >secret\n") }, 1, 0},
			{"a change that neither size nor time shows", func() {
				info, err := os.Stat(path)
				require.NoError(t, err)
				write("user eve on >secret\n")
				require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
			}, 0, 0},
			{"a signal after that", hangUp, 1, 0},
			{"no file", func() { require.NoError(t, os.Remove(path)) }, 0, 1},
			{"a file again", func() { write("user ada\n") }, 1, 0},
			{"no file again", func() { require.NoError(t, os.Remove(path)) }, 0, 1},
			{"a directory", func() { require.NoError(t, os.Mkdir(path, 0o700)) }, 0, 1},
			{"a file in its place", func() {
				require.NoError(t, os.Remove(path))
				write("user ada\n")
			}, 1, 0},
		} {
			step.change()
			time.Sleep(3500 * time.Millisecond)
			synctest.Wait()
			said := log.take()
			require.EqualValues(t, step.given, given.Swap(0), "%s: %s", step.name, said)
			require.Equal(t, step.given, strings.Count(said, "users were read again"), "%s: %s", step.name, said)
			require.Equal(t, step.warnings, strings.Count(said, "the old ones stay"), "%s: %s", step.name, said)
			require.NotContains(t, said, "secret", step.name)
		}
	})
}

func TestUsersOfAFileThatCannotBeReadAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	_, err := (&server.UsersFile{Path: path}).Read()
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("\nuser ada on secret\n"), 0o600))
	_, err = (&server.UsersFile{Path: path}).Read()
	require.EqualError(t, err, path+": server: users: line 2: rule 2 of user ada: want on, off, nopass, >PASSWORD, #SHA256, ~PREFIX*, ~*, +@all, +@read or -@all")
}

// TestAFileThatIsFarTooLongIsNotRead takes one with a hole: it is as long as a data file that is named by mistake.
func TestAFileThatIsFarTooLongIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	require.NoError(t, os.WriteFile(path, []byte("user ada on >secret ~* +@all\n"), 0o600))
	require.NoError(t, os.Truncate(path, 1<<30))
	took := allocated.Bytes(func() {
		_, err := (&server.UsersFile{Path: path}).Read()
		require.EqualError(t, err, path+": server: users: the file has more than 16777216 bytes")
	})
	require.Less(t, took, uint64(256<<20))
}

func TestWithoutAFileThereAreNoUsers(t *testing.T) {
	var file server.UsersFile
	users, err := file.Read()
	require.NoError(t, err)
	require.Nil(t, users)
	file.Watch(context.Background(), nil, func(*server.Users) { t.Error("it has users") }) // It returns.
}
