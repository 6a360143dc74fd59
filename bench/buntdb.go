package main

import (
	"errors"
	"io"
	"path/filepath"
	"unsafe"

	"github.com/tidwall/buntdb"
)

var buntdbPeer = Peer{Name: "buntdb", Module: "github.com/tidwall/buntdb", OpenStore: openBuntdb}

// buntdbStore keeps strings. What buntdb keeps is copied into one; what it only looks at, or hands out, is the same
// memory under the other type.
type buntdbStore struct {
	db     *buntdb.DB
	policy buntdb.SyncPolicy
}

func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
func asBytes(s string) []byte  { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func openBuntdb(dir string, settings Settings) (Store, error) {
	db, err := buntdb.Open(filepath.Join(dir, "buntdb.aof"))
	if err != nil {
		return nil, err
	}
	policy := buntdb.Never
	if settings.Mode == Durable {
		policy = buntdb.Always
	}
	return &buntdbStore{db, policy}, db.SetConfig(buntdbConfig(policy))
}

// buntdbConfig keeps buntdb from rewriting its file by itself: it does so only where a workload asks for a checkpoint.
func buntdbConfig(policy buntdb.SyncPolicy) buntdb.Config {
	return buntdb.Config{SyncPolicy: policy, AutoShrinkDisabled: true}
}

func (s *buntdbStore) Put(key, value []byte) error { return s.Batch([]Pair{{key, value}}) }

func (s *buntdbStore) Get(key []byte, use func(value []byte)) error {
	err := s.db.View(func(tx *buntdb.Tx) error {
		value, err := tx.Get(asString(key))
		if err == nil {
			use(asBytes(value))
		}
		return err
	})
	if errors.Is(err, buntdb.ErrNotFound) {
		return errNotFound
	}
	return err
}

func (s *buntdbStore) Batch(pairs []Pair) error {
	return s.db.Update(func(tx *buntdb.Tx) error {
		for _, pair := range pairs {
			if _, _, err := tx.Set(string(pair.Key), string(pair.Value), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *buntdbStore) Scan(start []byte, limit int, visit func(key, value []byte)) error {
	visited := 0
	return s.db.View(func(tx *buntdb.Tx) error {
		return tx.AscendGreaterOrEqual("", asString(start), func(key, value string) bool {
			visit(asBytes(key), asBytes(value))
			visited++
			return visited != limit
		})
	})
}

func (s *buntdbStore) Update(key []byte, change func(old []byte) []byte) error {
	return s.db.Update(func(tx *buntdb.Tx) error {
		old, err := tx.Get(asString(key))
		if err != nil && !errors.Is(err, buntdb.ErrNotFound) {
			return err
		}
		_, _, err = tx.Set(string(key), string(change(asBytes(old))), nil)
		return err
	})
}

// Sync has to write something: buntdb has no call for it, but syncs a commit under the policy Always.
func (s *buntdbStore) Sync() error {
	if err := s.db.SetConfig(buntdbConfig(buntdb.Always)); err != nil {
		return err
	}
	err := s.db.Update(func(tx *buntdb.Tx) error {
		const key = "no pair has this key"
		_, _, setErr := tx.Set(key, "", nil)
		_, deleteErr := tx.Delete(key)
		return errors.Join(setErr, deleteErr)
	})
	return errors.Join(err, s.db.SetConfig(buntdbConfig(s.policy)))
}

func (s *buntdbStore) Checkpoint() error { return s.db.Shrink() }

// Backup keeps writers out.
func (s *buntdbStore) Backup(w io.Writer) error { return s.db.Save(w) }

func (s *buntdbStore) Close() error { return s.db.Close() }
