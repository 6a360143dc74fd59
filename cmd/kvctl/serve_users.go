package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"

	"github.com/walnutkv/walnut/server"
)

// usersFile is the file of the users, or of the password.
func (f *serveFlags) usersFile(log *slog.Logger) *server.UsersFile {
	if f.password != "" {
		return &server.UsersFile{Path: f.password, Parse: onlyUser, Logger: log}
	}
	return &server.UsersFile{Path: f.users, Logger: log}
}

// onlyUser returns the one user that there is, with a password.
func onlyUser(text []byte) (*server.Users, error) {
	password := bytes.TrimRight(text, "\r\n")
	if len(password) == 0 {
		return nil, errors.New("the password is empty")
	}
	return server.ParseUsers(fmt.Appendf(nil, "user default on #%x ~* +@all", sha256.Sum256(password)))
}
