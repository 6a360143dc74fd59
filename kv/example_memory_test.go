package kv_test

import (
	"fmt"

	"github.com/walnutkv/walnut/kv"
)

func ExampleOpenMemory() {
	db, err := kv.OpenMemory(kv.Options{})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	if _, err := db.Put([]byte("fruit/apple"), []byte("red")); err != nil {
		panic(err)
	}
	value, err := db.Get([]byte("fruit/apple"))
	fmt.Printf("%s %v\n", value, err)
	// Output: red <nil>
}
