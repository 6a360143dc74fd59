package kv_test

import (
	"fmt"

	"github.com/walnutkv/walnut/kv"
)

func ExampleRange_after() {
	db := openFruit()
	defer db.Close()
	page := kv.Range{Prefix: []byte("price/"), Limit: 2}
	for number := 1; ; number++ {
		found := 0
		for key, value := range db.Scan(page) {
			fmt.Printf("page %d: %s %s\n", number, key, value)
			page.After = key
			found++
		}
		if found < page.Limit {
			break
		}
	}
	// Output:
	// page 1: price/apple 3
	// page 1: price/pear 5
	// page 2: price/quince 8
}

func ExamplePrefixEnd() {
	db := openFruit()
	defer db.Close()
	prefix := []byte("price/p")
	if _, err := db.DeleteRange(prefix, kv.PrefixEnd(prefix)); err != nil {
		panic(err)
	}
	fmt.Println(db.Count(kv.Range{}))
	// Output: 2 <nil>
}
