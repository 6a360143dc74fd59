package kv_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// openTemporary opens a store in a new directory, and returns what closes the one and removes the other.
func openTemporary() (*kv.DB, func()) { return openTemporaryWith(kv.Options{}) }

func openTemporaryWith(opts kv.Options) (*kv.DB, func()) {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	db, err := kv.Open(dir, opts)
	if err != nil {
		panic(err)
	}
	return db, func() {
		if err := errors.Join(db.Close(), os.RemoveAll(dir)); err != nil {
			panic(err)
		}
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	db, err := kv.Open(dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	if _, err := db.Put([]byte("fruit/apple"), []byte("red")); err != nil {
		panic(err) // Otherwise it is durable, and visible to everybody.
	}
	if err := db.Close(); err != nil {
		panic(err)
	}

	db, err = kv.Open(dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	value, err := db.Get([]byte("fruit/apple"))
	fmt.Printf("%s %v\n", value, err)
	// Output: red <nil>
}

func ExampleDB_Get() {
	db, done := openTemporary()
	defer done()
	if _, err := db.Put([]byte("k"), []byte("v")); err != nil {
		panic(err)
	}
	value, err := db.Get([]byte("k"))
	fmt.Printf("%s %v\n", value, err)
	_, err = db.Get([]byte("absent"))
	fmt.Println(errors.Is(err, kv.ErrNotFound))
	// Output:
	// v <nil>
	// true
}

func ExampleDB_Put() {
	db, done := openTemporary()
	defer done()
	for _, value := range []string{"first", "second"} {
		offset, err := db.Put([]byte("k"), []byte(value))
		fmt.Println(offset, err)
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
}

func ExampleDB_PutTTL() {
	db, done := openTemporary()
	defer done()
	if _, err := db.PutTTL([]byte("session"), []byte("token"), 20*time.Millisecond); err != nil {
		panic(err)
	}
	time.Sleep(30 * time.Millisecond)
	_, err := db.Get([]byte("session"))
	fmt.Println(err)
	// Output: kv: key not found
}

func ExampleDB_Delete() {
	db, done := openTemporary()
	defer done()
	if _, err := db.Put([]byte("k"), []byte("v")); err != nil {
		panic(err)
	}
	offset, err := db.Delete([]byte("k"))
	fmt.Println(offset, err)
	_, err = db.Get([]byte("k"))
	fmt.Println(err)
	// Output:
	// 2 <nil>
	// kv: key not found
}

func ExampleDB_Apply() {
	db, done := openTemporary()
	defer done()
	var batch kv.Batch
	batch.Put([]byte("account/ann"), []byte("70"))
	batch.Put([]byte("account/bob"), []byte("130"))
	batch.DeleteRange([]byte("pending/"), []byte("pending0"))
	offset, err := db.Apply(&batch) // Wholly or not at all.
	fmt.Println(offset, err)
	// Output: 1 <nil>
}

func ExampleBatch() {
	db, done := openTemporary()
	defer done()
	var batch kv.Batch
	for i := range 5 {
		batch.Put(fmt.Appendf(nil, "row/%d", i), []byte("…"))
		if batch.Len() < 2 && i < 4 {
			continue
		}
		offset, err := db.Apply(&batch)
		fmt.Println(batch.Len(), offset, err)
		batch.Reset()
	}
	batch.Put(nil, []byte("no key"))
	_, err := db.Apply(&batch)
	fmt.Println(errors.Is(err, kv.ErrEmptyKey))
	// Output:
	// 2 1 <nil>
	// 2 2 <nil>
	// 1 3 <nil>
	// true
}

func ExampleDB_Scan() {
	db, done := openTemporary()
	defer done()
	var batch kv.Batch
	for _, fruit := range []string{"apple", "banana", "cherry", "damson"} {
		batch.Put([]byte("fruit/"+fruit), []byte(fruit[:1]))
	}
	batch.Put([]byte("tree/oak"), []byte("o"))
	if _, err := db.Apply(&batch); err != nil {
		panic(err)
	}
	for key, value := range db.Scan(kv.Range{Prefix: []byte("fruit/"), Start: []byte("fruit/b"), Reverse: true, Limit: 2}) {
		fmt.Printf("%s=%s\n", key, value)
	}
	// Output:
	// fruit/damson=d
	// fruit/cherry=c
}

func ExampleDB_Sync() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := kv.Open(dir, kv.Options{Sync: kv.SyncNever})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	for i := range 100 {
		if _, err := db.Put(fmt.Append(nil, i), []byte("survives the process, not yet a power cut")); err != nil {
			panic(err)
		}
	}
	fmt.Println(db.Sync(), db.Stats().Durable)
	// Output: <nil> 100
}

func ExampleDB_Stats() {
	db, done := openTemporary()
	defer done()
	if _, err := db.Put([]byte("k"), []byte("value")); err != nil {
		panic(err)
	}
	stats := db.Stats()
	fmt.Println(stats.Keys, stats.DataBytes, stats.First, stats.Durable, stats.Visible)
	// Output: 1 6 1 1 1
}

func ExampleDB_Recovery() {
	db, done := openTemporary()
	defer done()
	recovery := db.Recovery()
	fmt.Println(recovery.Log.Outcome, recovery.Replayed)
	// Output: created 0
}

func ExampleDB_Commits() {
	db, done := openTemporary()
	defer done()
	for _, value := range []string{"first", "second", "third"} {
		if _, err := db.Put([]byte("k"), []byte(value)); err != nil {
			panic(err)
		}
	}
	for commit, err := range db.Commits(2) {
		if err != nil {
			panic(err)
		}
		for _, m := range commit.Mutations {
			fmt.Printf("%d %v %s=%s\n", commit.Offset, m.Kind, m.Key, m.Value)
		}
	}
	// Output:
	// 2 put k=second
	// 3 put k=third
}

func ExampleOpenLog() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := kv.Open(dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	if _, err := db.Put([]byte("k"), []byte("v")); err != nil {
		panic(err)
	}
	if err := db.Close(); err != nil {
		panic(err)
	}

	log, err := kv.OpenLog(dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	defer log.Close()
	for _, segment := range log.Segments() {
		fmt.Println(segment.Base, segment.Last, segment.Sealed)
	}
	// Output: 1 1 true
}

func ExampleCheck() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := kv.Open(dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	if err := db.Close(); err != nil {
		panic(err)
	}
	violations, err := kv.Check(context.Background(), dir, kv.Options{})
	fmt.Println(len(violations), err)
	// Output: 0 <nil>
}

func ExampleOptions_readOnly() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	writer, err := kv.Open(dir, kv.Options{})
	if err != nil {
		panic(err)
	}
	defer writer.Close()
	if _, err := writer.Put([]byte("k"), []byte("v")); err != nil {
		panic(err)
	}

	_, err = kv.Open(dir, kv.Options{})
	fmt.Println(errors.Is(err, kv.ErrLocked))
	reader, err := kv.Open(dir, kv.Options{ReadOnly: true})
	if err != nil {
		panic(err)
	}
	defer reader.Close()
	value, err := reader.Get([]byte("k"))
	fmt.Printf("%s %v\n", value, err)
	_, err = reader.Put([]byte("k"), nil)
	fmt.Println(err)
	// Output:
	// true
	// v <nil>
	// kv: store is read-only
}

// Copy, then follow: a consumer takes what there is, and from then on each commit, without a gap. Where it stores the offset that it
// has seen, it goes on from there after a break.
func ExampleDB_Watch() {
	db, done := openTemporary()
	defer done()
	put := func(key, value string) {
		if _, err := db.Put([]byte(key), []byte(value)); err != nil {
			panic(err)
		}
	}
	put("fruit/apple", "red")

	copied := map[string]string{}
	view, err := db.ReadView()
	if err != nil {
		panic(err)
	}
	for key, value := range view.Scan(kv.Range{}) {
		copied[string(key)] = string(value)
	}
	seen := view.Offset()
	view.Close()

	put("fruit/apple", "green")
	put("tree/oak", "tall")
	put("fruit/cherry", "red")
	for commit, err := range db.Watch(context.Background(), kv.WatchOptions{From: seen + 1, Prefix: []byte("fruit/")}) {
		if err != nil {
			panic(err)
		}
		for _, m := range commit.Mutations {
			copied[string(m.Key)] = string(m.Value)
		}
		if seen = commit.Offset; seen == 4 {
			break
		}
	}
	fmt.Println(seen, copied)
	// Output: 4 map[fruit/apple:green fruit/cherry:red]
}

func ExampleMutation_Touches() {
	deleted := kv.Mutation{Kind: kv.MutationDeleteRange, Key: []byte("user:2"), End: []byte("user:5")}
	fmt.Println(deleted.Touches([]byte("user:")), deleted.Touches([]byte("user:31")), deleted.Touches([]byte("user:7")))
	// Output: true true false
}
