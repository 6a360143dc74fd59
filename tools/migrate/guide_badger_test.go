package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/walnutkv/walnut/kv"
)

// The functions below are the code of docs/from-badger.md. A test in internal/house compares the two.

func badgerCount(db *badger.DB, page string) (total uint64, err error) {
	for { // Another transaction may have written the key meanwhile.
		err = db.Update(func(txn *badger.Txn) error {
			total = 1
			item, err := txn.Get([]byte(page))
			if err == nil {
				err = item.Value(func(value []byte) error { // Not valid after the function.
					total = binary.BigEndian.Uint64(value) + 1
					return nil
				})
			}
			if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
				return err
			}
			return txn.Set([]byte(page), binary.BigEndian.AppendUint64(nil, total))
		})
		if !errors.Is(err, badger.ErrConflict) {
			return total, err
		}
	}
}

func walnutCount(db *kv.DB, page string) (total uint64, err error) {
	err = db.Update(func(tx *kv.Tx) error { // One at a time: there are no conflicts.
		total = 1
		value, err := tx.Get([]byte(page)) // Valid for good.
		if err == nil {
			total = binary.BigEndian.Uint64(value) + 1
		} else if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		return tx.Put([]byte(page), binary.BigEndian.AppendUint64(nil, total))
	})
	return total, err
}

func badgerNewest(db *badger.DB, prefix string) (key string, err error) {
	err = db.View(func(txn *badger.Txn) error {
		options := badger.DefaultIteratorOptions
		options.Reverse, options.PrefetchValues = true, false
		items := txn.NewIterator(options)
		defer items.Close()
		items.Seek([]byte(prefix + "\xff"))
		if !items.ValidForPrefix([]byte(prefix)) {
			return badger.ErrKeyNotFound
		}
		key = string(items.Item().Key())
		return nil
	})
	return key, err
}

func walnutNewest(db *kv.DB, prefix string) (string, error) {
	key, _, err := db.Last(kv.Range{Prefix: []byte(prefix)})
	return string(key), err
}

func Example_badger() {
	dir, err := os.MkdirTemp("", "walnut-guide-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	theirs, err := badger.Open(badger.DefaultOptions(filepath.Join(dir, "badger")).WithLogger(nil))
	if err != nil {
		panic(err)
	}
	defer theirs.Close()
	ours, err := kv.Open(filepath.Join(dir, "store"), kv.Options{})
	if err != nil {
		panic(err)
	}
	defer ours.Close()
	for _, page := range []string{"page/1", "page/2", "page/1"} {
		fmt.Println(badgerCount(theirs, page))
		fmt.Println(walnutCount(ours, page))
	}
	fmt.Println(badgerNewest(theirs, "page/"))
	fmt.Println(walnutNewest(ours, "page/"))
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 1 <nil>
	// 1 <nil>
	// 2 <nil>
	// 2 <nil>
	// page/2 <nil>
	// page/2 <nil>
}
