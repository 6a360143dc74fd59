package kv_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// This is a counter: an Update reads it and writes it again, and no other Update comes between.
func ExampleDB_Update_counter() {
	db := openFruit()
	defer db.Close()
	add := func(name string, by int64) (total int64, err error) {
		err = db.Update(func(tx *kv.Tx) error {
			value, err := tx.Get([]byte(name))
			switch {
			case errors.Is(err, kv.ErrNotFound):
			case err != nil:
				return err
			default:
				total = int64(binary.BigEndian.Uint64(value))
			}
			total += by
			return tx.Put([]byte(name), binary.BigEndian.AppendUint64(nil, uint64(total)))
		})
		return total, err
	}
	fmt.Println(add("count/visits", 1))
	fmt.Println(add("count/visits", 41))
	// Output:
	// 1 <nil>
	// 42 <nil>
}

// This is a sequence: each pair gets the number after the last one. Numbers of a fixed length, the highest byte first, are in
// the order of keys.
func ExampleDB_Update_sequence() {
	db := openFruit()
	defer db.Close()
	prefix := []byte("queue/")
	push := func(value string) error {
		return db.Update(func(tx *kv.Tx) error {
			next := uint64(1)
			last, _, err := tx.Last(kv.Range{Prefix: prefix})
			if err == nil {
				next = binary.BigEndian.Uint64(last[len(prefix):]) + 1
			} else if !errors.Is(err, kv.ErrNotFound) {
				return err
			}
			return tx.Put(binary.BigEndian.AppendUint64(bytes.Clone(prefix), next), []byte(value))
		})
	}
	fmt.Println(push("first"), push("second"))
	for key, value := range db.Scan(kv.Range{Prefix: prefix}) {
		fmt.Printf("%d %s\n", binary.BigEndian.Uint64(key[len(prefix):]), value)
	}
	// Output:
	// <nil> <nil>
	// 1 first
	// 2 second
}

// A prefix is a bucket: it is scanned, counted and removed as a whole.
func ExampleRange_buckets() {
	db := openFruit()
	defer db.Close()
	if _, err := db.Put([]byte("weight/pear"), []byte("180")); err != nil {
		panic(err)
	}
	bucket := func(name string) []byte { return append([]byte(name), '/') }
	fmt.Println(db.Count(kv.Range{Prefix: bucket("price")}))
	if _, err := db.DeleteRange(bucket("price"), kv.PrefixEnd(bucket("price"))); err != nil {
		panic(err)
	}
	for key := range db.Scan(kv.Range{}) {
		fmt.Println(string(key))
	}
	// Output:
	// 3 <nil>
	// weight/pear
}

// fruit is a typed value.
type fruit struct {
	Price  int
	Weight int
}

// getAs returns the value of a key, decoded.
func getAs[T any](db *kv.DB, key string) (decoded T, err error) {
	value, err := db.Get([]byte(key))
	if err == nil {
		err = json.Unmarshal(value, &decoded)
	}
	return decoded, err
}

// putAs gives the key the value, encoded.
func putAs[T any](db *kv.DB, key string, value T) error {
	encoded, err := json.Marshal(value)
	if err == nil {
		_, err = db.Put([]byte(key), encoded)
	}
	return err
}

// Typed values are two functions of the program, in the encoding of its choice.
func ExampleDB_Put_typed() {
	db := openFruit()
	defer db.Close()
	if err := putAs(db, "fruit/pear", fruit{Price: 5, Weight: 180}); err != nil {
		panic(err)
	}
	fmt.Println(getAs[fruit](db, "fruit/pear"))
	// Output: {5 180} <nil>
}

func ExampleDB_UpdateOffset() {
	db := openFruit()
	defer db.Close()
	offset, err := db.UpdateOffset(context.Background(), func(tx *kv.Tx) error {
		return tx.Put([]byte("price/pear"), []byte("6"))
	})
	fmt.Println(offset, err)
	// Output: 2 <nil>
}

func ExampleOpenContext() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := kv.OpenContext(ctx, "store", kv.Options{})
	fmt.Println(errors.Is(err, context.Canceled))
	// Output: true
}

func ExampleOptions_clock() {
	var passed atomic.Int64 // The store asks for the time from several goroutines.
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	db, err := kv.OpenMemory(kv.Options{Clock: func() time.Time { return begin.Add(time.Duration(passed.Load())) }})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	if _, err := db.PutTTL([]byte("session"), nil, time.Hour); err != nil {
		panic(err)
	}
	fmt.Println(db.Has([]byte("session")))
	passed.Add(int64(time.Hour))
	fmt.Println(db.Has([]byte("session")))
	// Output:
	// true <nil>
	// false <nil>
}
