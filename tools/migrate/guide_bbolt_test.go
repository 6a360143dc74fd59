package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/walnutkv/walnut/kv"
)

// The functions below are the code of docs/from-bbolt.md. A test in internal/house compares the two.

func bboltSpend(db *bbolt.DB, name string, amount byte) error {
	return db.Update(func(tx *bbolt.Tx) error {
		accounts, err := tx.CreateBucketIfNotExists([]byte("accounts"))
		if err != nil {
			return err
		}
		value := accounts.Get([]byte(name)) // nil where there is none; not valid after the transaction.
		if len(value) != 1 || value[0] < amount {
			return errors.New("not enough")
		}
		return accounts.Put([]byte(name), []byte{value[0] - amount})
	})
}

func walnutSpend(db *kv.DB, name string, amount byte) error {
	return db.Update(func(tx *kv.Tx) error {
		value, err := tx.Get([]byte("accounts/" + name)) // kv.ErrNotFound where there is none; valid for good.
		if err != nil {
			return err
		}
		if len(value) != 1 || value[0] < amount {
			return errors.New("not enough")
		}
		return tx.Put([]byte("accounts/"+name), []byte{value[0] - amount})
	})
}

func bboltList(db *bbolt.DB, prefix string) (names []string, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		accounts := tx.Bucket([]byte("accounts"))
		if accounts == nil {
			return nil
		}
		cursor := accounts.Cursor()
		for key, _ := cursor.Seek([]byte(prefix)); bytes.HasPrefix(key, []byte(prefix)); key, _ = cursor.Next() {
			names = append(names, string(key))
		}
		return nil
	})
	return names, err
}

func walnutList(db *kv.DB, prefix string) (names []string, err error) {
	err = db.View(func(tx *kv.Tx) error {
		bucket := []byte("accounts/")
		for key := range tx.Scan(kv.Range{Prefix: append(bucket, prefix...)}) {
			names = append(names, string(key[len(bucket):]))
		}
		return nil
	})
	return names, err
}

func Example_bbolt() {
	dir, err := os.MkdirTemp("", "walnut-guide-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	theirs, err := bbolt.Open(filepath.Join(dir, "app.db"), 0o600, nil)
	if err != nil {
		panic(err)
	}
	defer theirs.Close()
	if err := theirs.Update(func(tx *bbolt.Tx) error {
		accounts, err := tx.CreateBucketIfNotExists([]byte("accounts"))
		if err != nil {
			return err
		}
		return accounts.Put([]byte("ada"), []byte{9})
	}); err != nil {
		panic(err)
	}
	ours, err := kv.Open(filepath.Join(dir, "store"), kv.Options{})
	if err != nil {
		panic(err)
	}
	defer ours.Close()
	if _, err := ours.Put([]byte("accounts/ada"), []byte{9}); err != nil {
		panic(err)
	}
	fmt.Println(bboltSpend(theirs, "ada", 4), walnutSpend(ours, "ada", 4))
	fmt.Println(bboltSpend(theirs, "ada", 9), walnutSpend(ours, "ada", 9))
	fmt.Println(bboltList(theirs, "a"))
	fmt.Println(walnutList(ours, "a"))
	// Output:
	// <nil> <nil>
	// not enough not enough
	// [ada] <nil>
	// [ada] <nil>
}
