package kv_test

import (
	"fmt"

	"github.com/walnutkv/walnut/kv"
)

// openFruit opens a store in memory with three prices.
func openFruit() *kv.DB {
	db, err := kv.OpenMemory(kv.Options{})
	if err != nil {
		panic(err)
	}
	var batch kv.Batch
	batch.Put([]byte("price/apple"), []byte("3"))
	batch.Put([]byte("price/pear"), []byte("5"))
	batch.Put([]byte("price/quince"), []byte("8"))
	if _, err := db.Apply(&batch); err != nil {
		panic(err)
	}
	return db
}

func ExampleDB_Has() {
	db := openFruit()
	defer db.Close()
	fmt.Println(db.Has([]byte("price/pear")))
	fmt.Println(db.Has([]byte("price/plum")))
	// Output:
	// true <nil>
	// false <nil>
}

func ExampleDB_Count() {
	db := openFruit()
	defer db.Close()
	fmt.Println(db.Count(kv.Range{Prefix: []byte("price/p")}))
	// Output: 1 <nil>
}

func ExampleDB_First() {
	db := openFruit()
	defer db.Close()
	key, value, err := db.First(kv.Range{Prefix: []byte("price/")})
	fmt.Printf("%s %s %v\n", key, value, err)
	_, _, err = db.First(kv.Range{Prefix: []byte("weight/")})
	fmt.Println(err)
	// Output:
	// price/apple 3 <nil>
	// kv: key not found
}

func ExampleDB_Last() {
	db := openFruit()
	defer db.Close()
	key, value, err := db.Last(kv.Range{Prefix: []byte("price/")})
	fmt.Printf("%s %s %v\n", key, value, err)
	// Output: price/quince 8 <nil>
}

func ExampleDB_DeleteRange() {
	db := openFruit()
	defer db.Close()
	if _, err := db.DeleteRange([]byte("price/b"), []byte("price/q")); err != nil {
		panic(err)
	}
	for key := range db.Scan(kv.Range{}) {
		fmt.Println(string(key))
	}
	// Output:
	// price/apple
	// price/quince
}
