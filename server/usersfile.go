package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/walnutkv/walnut/internal/stamps"
)

// usersChecked is how often the file of the users is looked at.
const usersChecked = time.Second

// usersMax is how many bytes are read of the file: room for a hundred thousand users. It may be another one by mistake.
const usersMax = 16 << 20

// UsersFile is the file with the users of a server, which is read again after it has changed. The zero value names no file, and has no users.
// It isn't for concurrent use: call Read, and then Watch.
type UsersFile struct {
	// Path is that of the file.
	Path string
	// Parse makes users of what the file holds; nil is ParseUsers.
	Parse func(text []byte) (*Users, error)
	// Logger gets what Watch has read, and what it couldn't read; the default discards it.
	Logger *slog.Logger

	read stamps.Stamps // Of the file that was read last, whether it could be used or not.
}

// Read returns the users in the file, for Options.Users. Without a Path they are nil: everybody may do everything. The error is that of the
// file, or of Parse with the path.
func (f *UsersFile) Read() (*Users, error) {
	if f.Path == "" {
		return nil, nil
	}
	return f.reread(true)
}

// Watch looks at the file once a second until ctx is done, and gives its users to use, such as Server.SetUsers, after its size or its time has
// changed. After each signal, such as SIGHUP, it does so in any case; again may be nil. A file that can't be read or parsed changes nothing: a
// warning says why, once. So that it is never read half written, a new file should be renamed to the path.
func (f *UsersFile) Watch(ctx context.Context, again <-chan os.Signal, use func(*Users)) {
	if f.Path == "" {
		return
	}
	log := cmp.Or(f.Logger, slog.New(slog.DiscardHandler))
	warned := ""
	for {
		asked := false
		select {
		case <-time.After(usersChecked):
		case <-again:
			asked = true
		case <-ctx.Done():
			return
		}
		users, err := f.reread(asked)
		switch {
		case err == nil:
			warned = ""
		case asked || err.Error() != warned:
			warned = err.Error()
			log.Warn("users can't be read again; the old ones stay", "error", err)
		}
		if users != nil {
			use(users)
			log.Info("users were read again", "file", f.Path)
		}
	}
}

// reread reads the file, always or if it has changed; otherwise it returns nil. The error of a file that can't be parsed comes once.
func (f *UsersFile) reread(always bool) (*Users, error) {
	found, err := stamps.Of(f.Path)
	if err != nil || !always && found.Equal(f.read) {
		return nil, err
	}
	text, err := readMost(f.Path, usersMax+1)
	if err != nil {
		return nil, err
	}
	f.read = found
	users, err := f.users(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return users, nil
}

// users makes users of what was read of the file.
func (f *UsersFile) users(text []byte) (*Users, error) {
	switch {
	case len(text) > usersMax:
		return nil, fmt.Errorf("server: users: the file has more than %d bytes", usersMax)
	case f.Parse != nil:
		return f.Parse(text)
	}
	return ParseUsers(text)
}

// readMost returns the first bytes of a file.
func readMost(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, most))
	return text, errors.Join(err, file.Close())
}
