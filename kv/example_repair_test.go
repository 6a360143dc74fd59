package kv_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/walnutkv/walnut/kv"
)

// A damaged store is never a dead end: a plan says what can be kept and what is lost, before anything changes.
func ExamplePlanRepair() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := kv.Open(dir, kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"Ada", "Barbara, who will be damaged", "Grace"} {
		if _, err := db.Put([]byte("user"), []byte(name)); err != nil {
			log.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(dir, "wal", "00000000000000000001.store")
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Replace(data, []byte("who will be"), []byte("who is now "), 1), 0o600)
	}
	if err != nil {
		log.Fatal(err)
	}

	plan, err := kv.PlanRepair(context.Background(), dir, kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("keeps up to commit %d, loses up to %d, of which %d can still be read\n", plan.Offset, plan.LostTo, plan.LostReadable)
	for _, key := range plan.LostKeys {
		fmt.Printf("loses %s of %s in commit %d\n", key.Kind, key.Key, key.Offset)
	}
	for piece, err := range kv.Salvage(context.Background(), dir, kv.Options{}) {
		if err != nil {
			log.Fatal(err)
		}
		if piece.Err == nil && piece.Unproven {
			fmt.Printf("still readable: commit %d, %s\n", piece.Offset, piece.Mutations[0].Value)
		}
	}
	if err := plan.Apply(context.Background()); err != nil {
		log.Fatal(err)
	}
	db, err = kv.Open(dir, kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	value, err := db.Get([]byte("user"))
	fmt.Printf("%s %v\n", value, err)
	// Output:
	// keeps up to commit 1, loses up to 3, of which 1 can still be read
	// loses put of user in commit 3
	// still readable: commit 3, Grace
	// Ada <nil>
}

// Follow goes through the log of a store, and on with what its live writer adds.
func ExampleLog_Follow() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := kv.Open(dir, kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Put([]byte("user"), []byte("Ada")); err != nil {
		log.Fatal(err)
	}
	followed, err := kv.OpenLog(dir, kv.Options{Follow: true})
	if err != nil {
		log.Fatal(err)
	}
	defer followed.Close()
	for commit, err := range followed.Follow(context.Background(), 1) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("commit %d puts %s\n", commit.Offset, commit.Mutations[0].Value)
		if commit.Offset == 2 {
			break
		}
		if _, err := db.Put([]byte("user"), []byte("Grace")); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// commit 1 puts Ada
	// commit 2 puts Grace
}
