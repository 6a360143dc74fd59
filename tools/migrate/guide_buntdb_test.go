package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tidwall/buntdb"

	"github.com/walnutkv/walnut/kv"
)

// The functions below are the code of docs/from-buntdb.md. A test in internal/house compares the two.

func buntdbLogin(db *buntdb.DB, token, user string) error {
	return db.Update(func(tx *buntdb.Tx) error {
		_, _, err := tx.Set("session:"+token, user, &buntdb.SetOptions{Expires: true, TTL: 30 * time.Minute})
		return err
	})
}

func walnutLogin(db *kv.DB, token, user string) error {
	_, err := db.PutTTL([]byte("session:"+token), []byte(user), 30*time.Minute)
	return err
}

func buntdbByAge(db *buntdb.DB) (names []string, err error) {
	if err := db.CreateIndex("age", "user:*", buntdb.IndexJSON("age")); err != nil && !errors.Is(err, buntdb.ErrIndexExists) {
		return nil, err
	}
	err = db.View(func(tx *buntdb.Tx) error {
		return tx.Ascend("age", func(key, _ string) bool {
			names = append(names, key)
			return true
		})
	})
	return names, err
}

// byAge orders the users by age. An index key sorts by its bytes, so numbers get a fixed width.
var byAge = kv.Index{Name: "age", Keys: func(key, value []byte) iter.Seq[[]byte] {
	var user struct{ Age int }
	if !bytes.HasPrefix(key, []byte("user:")) || json.Unmarshal(value, &user) != nil {
		return nil // Not in the index.
	}
	return slices.Values([][]byte{fmt.Appendf(nil, "%03d", user.Age)})
}}

func walnutByAge(db *kv.DB) (names []string) { // db was opened with kv.Options{Indexes: []kv.Index{byAge}}.
	for key := range db.ScanIndex("age", kv.Range{}) {
		names = append(names, string(key))
	}
	return names
}

func Example_buntdb() {
	theirs, err := buntdb.Open(":memory:")
	if err != nil {
		panic(err)
	}
	defer theirs.Close()
	ours, err := kv.OpenMemory(kv.Options{Indexes: []kv.Index{byAge}})
	if err != nil {
		panic(err)
	}
	defer ours.Close()
	for name, user := range map[string]string{"user:ada": `{"age":36}`, "user:bob": `{"age":9}`} {
		if err := theirs.Update(func(tx *buntdb.Tx) error {
			_, _, err := tx.Set(name, user, nil)
			return err
		}); err != nil {
			panic(err)
		}
		if _, err := ours.Put([]byte(name), []byte(user)); err != nil {
			panic(err)
		}
	}
	fmt.Println(buntdbLogin(theirs, "t1", "ada"), walnutLogin(ours, "t1", "ada"))
	fmt.Println(buntdbByAge(theirs))
	fmt.Println(walnutByAge(ours))
	// Output:
	// <nil> <nil>
	// [user:bob user:ada] <nil>
	// [user:bob user:ada]
}
