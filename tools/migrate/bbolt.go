package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	bboltLockWait = time.Second
	// maxNesting is how deep buckets may lie in each other. A damaged file could nest them without an end.
	maxNesting = 1000
)

// bboltSource is a bbolt file. Its keys become the names of their buckets, each with the separator after it, and the key.
type bboltSource struct {
	db        *bbolt.DB
	size      int64
	bucket    string
	separator []byte
	noted     []string
}

func openBbolt(set settings) (source, error) {
	info, err := os.Stat(set.path)
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, errors.New("the file is empty: it holds no bbolt database")
	}
	db, err := bbolt.Open(set.path, 0, &bbolt.Options{ReadOnly: true, Timeout: bboltLockWait})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, errLocked
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum):
		return nil, damaged("%v, or this is no bbolt file", err)
	case err != nil:
		return nil, err
	}
	s := &bboltSource{db: db, size: info.Size(), bucket: set.bucket, separator: []byte(set.separator)}
	unsound, err := unsoundMetas(set.path, db.Info().PageSize)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if unsound > 0 {
		s.noted = append(s.noted, "one of the file's two meta pages is damaged: bbolt uses the other, "+
			"which may be that of the transaction before the last")
	}
	return s, nil
}

func (s *bboltSource) each(visit func(pair) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > s.size {
			return damaged("it has %d bytes and its pages need %d", s.size, tx.Size())
		}
		if s.bucket == "" {
			return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error { return s.nested(name, bucket, nil, visit, 0) })
		}
		bucket := tx.Bucket([]byte(s.bucket))
		if bucket == nil {
			return fmt.Errorf("there is no bucket %q", s.bucket)
		}
		return s.walk(bucket, nil, visit, 0)
	})
}

// nested walks a bucket whose name becomes a part of the keys.
func (s *bboltSource) nested(name []byte, bucket *bbolt.Bucket, prefix []byte, visit func(pair) error, depth int) error {
	switch {
	case bytes.Contains(name, s.separator):
		return fmt.Errorf("the name of bucket %q has the separator %q in it: choose another with --separator", name, s.separator)
	case bucket == nil, depth > maxNesting:
		return damaged("bucket %q can't be read", name)
	}
	return s.walk(bucket, bytes.Join([][]byte{prefix, name, s.separator}, nil), visit, depth+1)
}

// walk visits what is in a bucket. Keys that don't ascend are damage: bbolt has no checksums that would show it.
func (s *bboltSource) walk(bucket *bbolt.Bucket, prefix []byte, visit func(pair) error, depth int) error {
	if sequence := bucket.Sequence(); sequence > 0 {
		s.noted = append(s.noted, fmt.Sprintf("bucket %q: its sequence, which is at %d, was left out", prefix, sequence))
	}
	var last []byte
	cursor := bucket.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		if last != nil && bytes.Compare(last, key) >= 0 {
			return damaged("key %.40q comes after %.40q", key, last)
		}
		last = key
		var err error
		if value == nil {
			err = s.nested(key, bucket.Bucket(key), prefix, visit, depth)
		} else if err = s.unambiguous(bucket, key); err == nil {
			err = visit(pair{key: bytes.Join([][]byte{prefix, key}, nil), value: value})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unambiguous refuses a key that would look as if it came from a bucket beside it.
func (s *bboltSource) unambiguous(bucket *bbolt.Bucket, key []byte) error {
	name, _, found := bytes.Cut(key, s.separator)
	if found && len(name) > 0 && bucket.Bucket(name) != nil {
		return fmt.Errorf("key %.40q would be taken for one of bucket %q: choose another --separator than %q", key, name, s.separator)
	}
	return nil
}

func (s *bboltSource) notes() []string { return s.noted }
func (s *bboltSource) Close() error    { return s.db.Close() }
