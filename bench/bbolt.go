package main

import (
	"io"
	"path/filepath"

	"go.etcd.io/bbolt"
)

var bboltPeer = Peer{
	Name: "bbolt", Module: "go.etcd.io/bbolt", OpenStore: openBbolt, Pages: true,
	Weaker: map[Mode]string{Relaxed: "a power cut can damage the whole file (NoSync)"},
}

var bboltBucket = []byte("pairs")

type bboltStore struct {
	db *bbolt.DB
	// write is db.Update for one writer, and for more db.Batch, which makes one commit of all that wait.
	write func(func(*bbolt.Tx) error) error
}

func openBbolt(dir string, settings Settings) Store {
	db, err := bbolt.Open(filepath.Join(dir, "bbolt.db"), 0o600, &bbolt.Options{
		NoSync:          settings.Mode == Relaxed,
		NoGrowSync:      settings.Mode == Relaxed,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: cacheBytes,
		NoStatistics:    true,
	})
	check(err)
	check(db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bboltBucket)
		return err
	}))
	if settings.Writers == 1 {
		return bboltStore{db, db.Update}
	}
	db.MaxBatchSize = settings.Writers // There are no more while all of them wait.
	return bboltStore{db, db.Batch}
}

func (s bboltStore) Put(key, value []byte) {
	check(s.write(func(tx *bbolt.Tx) error { return tx.Bucket(bboltBucket).Put(key, value) }))
}

func (s bboltStore) Batch(pairs []Pair) {
	check(s.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bboltBucket)
		for _, pair := range pairs {
			check(bucket.Put(pair.Key, pair.Value))
		}
		return nil
	}))
}

func (s bboltStore) Get(key []byte, use func(value []byte)) (found bool) {
	check(s.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bboltBucket).Get(key)
		if found = value != nil; found {
			use(value)
		}
		return nil
	}))
	return found
}

func (s bboltStore) Scan(start []byte, limit int, visit func(key, value []byte)) {
	check(s.db.View(func(tx *bbolt.Tx) error {
		cursor, left := tx.Bucket(bboltBucket).Cursor(), limit
		for key, value := cursor.Seek(start); key != nil; key, value = cursor.Next() {
			visit(key, value)
			if left--; left == 0 {
				break
			}
		}
		return nil
	}))
}

func (s bboltStore) Update(key []byte, change func(old []byte) []byte) {
	check(s.write(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bboltBucket)
		return bucket.Put(key, change(bucket.Get(key)))
	}))
}

func (s bboltStore) Pop() (popped bool) {
	check(s.write(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bboltBucket).Cursor()
		key, _ := cursor.First()
		if popped = key != nil; !popped {
			return nil
		}
		return cursor.Delete()
	}))
	return popped
}

func (s bboltStore) Backup(w io.Writer) {
	check(s.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	}))
}

func (s bboltStore) Close() { check(s.db.Close()) }
