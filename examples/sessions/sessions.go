package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// errNoSession reports a token without a session: it was never given out, has expired, or its user has logged out.
var errNoSession = errors.New("no such session")

// sessions are users by token, each for a time.
//
// Invariant: a session's deadline is at most ttl away, and every use with less than half of that left moves it there.
type sessions struct {
	db  *kv.DB
	ttl time.Duration
	now func() time.Time
}

// key is the token's hash, so that a backup holds nothing to log in with.
func key(token string) []byte {
	hash := sha256.Sum256([]byte(token))
	return append([]byte("session/"), hash[:]...)
}

// begin makes a session, which is durable when begin returns, and returns its token.
func (s *sessions) begin(ctx context.Context, user string) (token string, err error) {
	token = rand.Text()
	err = s.db.UpdateContext(ctx, func(tx *kv.Tx) error { return tx.PutTTL(key(token), []byte(user), s.ttl) })
	return token, err
}

// user returns whose session it is, and lets it last longer. Most calls only read.
func (s *sessions) user(ctx context.Context, token string) (string, error) {
	view, err := s.db.ReadView()
	if err != nil {
		return "", err
	}
	defer view.Close()
	user, err := view.Get(key(token))
	if errors.Is(err, kv.ErrNotFound) {
		return "", errNoSession
	}
	if err != nil {
		return "", err
	}
	deadline, err := view.Deadline(key(token))
	if err == nil && deadline.Sub(s.now()) < s.ttl/2 {
		err = s.renew(ctx, token)
	}
	return string(user), err
}

// renew reads the session again in the transaction that writes it: it may have been ended since, and must not come back.
func (s *sessions) renew(ctx context.Context, token string) error {
	return s.db.UpdateContext(ctx, func(tx *kv.Tx) error {
		user, err := tx.Get(key(token))
		if errors.Is(err, kv.ErrNotFound) {
			return errNoSession
		}
		if err != nil {
			return err
		}
		return tx.PutTTL(key(token), user, s.ttl)
	})
}

// end ends a session. That it has ended already is no error, and writes nothing: anyone may send a token that is none.
func (s *sessions) end(token string) error {
	held, err := s.db.Has(key(token))
	if err != nil || !held {
		return err
	}
	_, err = s.db.Delete(key(token))
	return err
}
