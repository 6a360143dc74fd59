package main

import (
	"errors"
	"io"
	"path/filepath"
	"unsafe"

	"github.com/tidwall/buntdb"
)

var buntdbPeer = Peer{Name: "buntdb", Module: "github.com/tidwall/buntdb", OpenStore: openBuntdb}

// buntdbStore keeps strings. What buntdb keeps is copied into one; what it only looks at, or hands out, is the same memory
// under the other type.
type buntdbStore struct{ *buntdb.DB }

func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
func asBytes(s string) []byte  { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// openBuntdb keeps buntdb from rewriting its file by itself: it does so only where a workload asks for a checkpoint.
func openBuntdb(dir string, settings Settings) (Store, error) {
	db, err := buntdb.Open(filepath.Join(dir, "buntdb.aof"))
	if err != nil {
		return nil, err
	}
	policy := buntdb.Never
	if settings.Mode == Durable {
		policy = buntdb.Always
	}
	return &buntdbStore{db}, db.SetConfig(buntdb.Config{SyncPolicy: policy, AutoShrinkDisabled: true})
}

func (s *buntdbStore) Put(key, value []byte) error { return s.Batch([]Pair{{key, value}}) }

func (s *buntdbStore) Batch(pairs []Pair) error {
	return s.DB.Update(func(tx *buntdb.Tx) error {
		return putAll(pairs, func(key, value []byte) error {
			_, _, err := tx.Set(string(key), string(value), nil)
			return err
		})
	})
}

func (s *buntdbStore) Get(key []byte, use func(value []byte)) error {
	return s.View(func(tx *buntdb.Tx) error {
		value, err := tx.Get(asString(key))
		if err == nil {
			use(asBytes(value))
		}
		return notFound(err, buntdb.ErrNotFound)
	})
}

func (s *buntdbStore) Scan(start []byte, limit int, visit func(key, value []byte)) error {
	visited := 0
	return s.View(func(tx *buntdb.Tx) error {
		return tx.AscendGreaterOrEqual("", asString(start), func(key, value string) bool {
			visit(asBytes(key), asBytes(value))
			visited++
			return visited != limit
		})
	})
}

func (s *buntdbStore) Update(key []byte, change func(old []byte) []byte) error {
	return s.DB.Update(func(tx *buntdb.Tx) error {
		old, err := tx.Get(asString(key))
		if err == nil || errors.Is(err, buntdb.ErrNotFound) {
			_, _, err = tx.Set(string(key), string(change(asBytes(old))), nil)
		}
		return err
	})
}

func (s *buntdbStore) Checkpoint() error { return s.Shrink() }

// Backup keeps writers out while it runs.
func (s *buntdbStore) Backup(w io.Writer) error { return s.Save(w) }
