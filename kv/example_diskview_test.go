package kv_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/walnutkv/walnut/kv"
)

// storeOfUsers makes a store on disk with a snapshot and a commit after it, and returns its directory.
func storeOfUsers() string {
	dir, err := os.MkdirTemp("", "users")
	if err != nil {
		panic(err)
	}
	dir = filepath.Join(dir, "store")
	db, err := kv.Open(dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	for _, name := range []string{"ada", "grace", "linus"} {
		if _, err := db.Put([]byte("user/"+name), []byte("active")); err != nil {
			panic(err)
		}
	}
	if _, err := db.Checkpoint(context.Background()); err != nil {
		panic(err)
	}
	if _, err := db.Put([]byte("user/grace"), []byte("away")); err != nil {
		panic(err)
	}
	return dir
}

// A tool looks a pair up without loading the store.
func ExampleOpenDiskView() {
	dir := storeOfUsers()
	defer os.RemoveAll(filepath.Dir(dir))
	view, err := kv.OpenDiskView(context.Background(), dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	defer view.Close()
	pair, err := view.Get(context.Background(), []byte("user/grace"))
	fmt.Printf("%s is %s as of commit %d, error %v\n", pair.Key, pair.Value, view.Offset(), err)
	// Output: user/grace is away as of commit 4, error <nil>
}

func ExampleDiskView_Scan() {
	dir := storeOfUsers()
	defer os.RemoveAll(filepath.Dir(dir))
	view, err := kv.OpenDiskView(context.Background(), dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	defer view.Close()
	for pair, err := range view.Scan(context.Background(), kv.Range{Prefix: []byte("user/"), Limit: 2}) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s is %s\n", pair.Key, pair.Value)
	}
	// Output:
	// user/ada is active
	// user/grace is away
}

func ExampleDiskView_Stats() {
	dir := storeOfUsers()
	defer os.RemoveAll(filepath.Dir(dir))
	view, err := kv.OpenDiskView(context.Background(), dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	defer view.Close()
	stats, err := view.Stats(context.Background())
	fmt.Println(stats.Keys, "keys,", stats.Visible, "commits, error", err)
	// Output: 3 keys, 4 commits, error <nil>
}
