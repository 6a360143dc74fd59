package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/walnutkv/walnut/internal/stamps"
	"github.com/walnutkv/walnut/server"
)

// usersChecked is how often the file of the users is looked at.
const usersChecked = time.Second

// usersFile has the users, and is read again after it has changed. A nil one has none.
type usersFile struct {
	path  string
	parse func(text []byte) (*server.Users, error)
	log   *slog.Logger
	read  stamps.Stamps // Of the file that was read last, whether it could be used or not.
	users *server.Users
}

// openUsers reads the file of the users, or of the password.
func (f *serveFlags) openUsers(log *slog.Logger) (*usersFile, error) {
	u := &usersFile{path: f.users, parse: server.ParseUsers, log: log}
	if f.password != "" {
		u.path, u.parse = f.password, onlyUser
	}
	if u.path == "" {
		return nil, nil
	}
	_, err := u.reread(true)
	return u, err
}

// onlyUser returns the one user that there is, with a password.
func onlyUser(text []byte) (*server.Users, error) {
	password := bytes.TrimRight(text, "\r\n")
	if len(password) == 0 {
		return nil, errors.New("the password is empty")
	}
	return server.ParseUsers(fmt.Appendf(nil, "user default on #%x ~* +@all", sha256.Sum256(password)))
}

func (u *usersFile) current() *server.Users {
	if u == nil {
		return nil
	}
	return u.users
}

// reread reads the file, always or if it has changed, and reports whether it did. An error of what is in it comes once.
func (u *usersFile) reread(always bool) (changed bool, err error) {
	found, err := stamps.Of(u.path)
	if err != nil || !always && found.Equal(u.read) {
		return false, err
	}
	text, err := os.ReadFile(u.path)
	if err != nil {
		return false, err
	}
	u.read = found
	users, err := u.parse(text)
	if err != nil {
		return false, fmt.Errorf("%s: %w", u.path, err)
	}
	u.users = users
	return true, nil
}

// watch reads the file again until ctx is done, after it has changed and after each SIGHUP, and gives the users to use.
func (u *usersFile) watch(ctx context.Context, hangups <-chan os.Signal, use func(*server.Users)) {
	if u == nil {
		return
	}
	missing := false
	for {
		asked := false
		select {
		case <-time.After(usersChecked):
		case <-hangups:
			asked = true
		case <-ctx.Done():
			return
		}
		changed, err := u.reread(asked)
		gone := err != nil && os.IsNotExist(err)
		if err != nil && (asked || !gone || !missing) {
			u.log.Warn("users can't be read again; the old ones stay", "error", err)
		}
		missing = gone
		if changed {
			use(u.users)
			u.log.Info("users were read again", "file", u.path)
		}
	}
}
