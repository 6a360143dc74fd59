package main

import (
	"errors"
	"io"
	"path/filepath"
	"time"
	"unsafe"

	"github.com/tidwall/buntdb"
)

var buntdbPeer = Peer{Name: "buntdb", Module: "github.com/tidwall/buntdb", OpenStore: openBuntdb}

// buntdbStore keeps strings. What buntdb keeps is copied into one; what it only looks at, or hands out, is the same memory
// under the other type.
type buntdbStore struct{ db *buntdb.DB }

func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
func asBytes(s string) []byte  { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// openBuntdb keeps buntdb from rewriting its file by itself: it does so only where a workload asks for a checkpoint.
func openBuntdb(dir string, settings Settings) Store {
	db, err := buntdb.Open(filepath.Join(dir, "buntdb.aof"))
	check(err)
	config := buntdb.Config{SyncPolicy: buntdb.Never, AutoShrinkDisabled: true}
	if settings.Mode == Durable {
		config.SyncPolicy = buntdb.Always
	}
	check(db.SetConfig(config))
	return buntdbStore{db}
}

func (s buntdbStore) Put(key, value []byte) { s.Batch([]Pair{{key, value}}) }
func (s buntdbStore) Batch(pairs []Pair)    { s.BatchUntil(pairs, time.Time{}) }

func (s buntdbStore) BatchUntil(pairs []Pair, deadline time.Time) {
	var options *buntdb.SetOptions
	if !deadline.IsZero() {
		options = &buntdb.SetOptions{Expires: true, TTL: time.Until(deadline)}
	}
	check(s.db.Update(func(tx *buntdb.Tx) error {
		for _, pair := range pairs {
			_, _, err := tx.Set(string(pair.Key), string(pair.Value), options)
			check(err)
		}
		return nil
	}))
}

func (s buntdbStore) Get(key []byte, use func(value []byte)) bool {
	err := s.db.View(func(tx *buntdb.Tx) error {
		value, err := tx.Get(asString(key))
		if err == nil {
			use(asBytes(value))
		}
		return err
	})
	if errors.Is(err, buntdb.ErrNotFound) {
		return false
	}
	check(err)
	return true
}

func (s buntdbStore) Scan(start []byte, limit int, visit func(key, value []byte)) {
	visited := 0
	check(s.db.View(func(tx *buntdb.Tx) error {
		return tx.AscendGreaterOrEqual("", asString(start), func(key, value string) bool {
			visit(asBytes(key), asBytes(value))
			visited++
			return visited != limit
		})
	}))
}

func (s buntdbStore) Update(key []byte, change func(old []byte) []byte) {
	check(s.db.Update(func(tx *buntdb.Tx) error {
		old, err := tx.Get(asString(key))
		if err == nil || errors.Is(err, buntdb.ErrNotFound) {
			_, _, err = tx.Set(string(key), string(change(asBytes(old))), nil)
		}
		return err
	}))
}

func (s buntdbStore) Pop() (popped bool) {
	check(s.db.Update(func(tx *buntdb.Tx) error {
		var first string
		err := tx.Ascend("", func(key, _ string) bool {
			first, popped = key, true
			return false
		})
		if err == nil && popped {
			_, err = tx.Delete(first)
		}
		return err
	}))
	return popped
}

// Count counts expired pairs until buntdb has deleted them.
func (s buntdbStore) Count() (count int) {
	check(s.db.View(func(tx *buntdb.Tx) (err error) {
		count, err = tx.Len()
		return err
	}))
	return count
}

func (s buntdbStore) Checkpoint() { check(s.db.Shrink()) }

// Backup keeps writers out while it runs.
func (s buntdbStore) Backup(w io.Writer) { check(s.db.Save(w)) }
func (s buntdbStore) Close()             { check(s.db.Close()) }
