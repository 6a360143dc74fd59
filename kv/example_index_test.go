package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/walnutkv/walnut/kv"
)

// Books have their author and, after a slash, their subjects as values.
var byAuthor = kv.Index{Name: "author", Keys: func(_, value []byte) iter.Seq[[]byte] {
	author, _, _ := bytes.Cut(value, []byte("/"))
	return slices.Values([][]byte{author})
}}

// A book comes once for each of its subjects.
var bySubject = kv.Index{Name: "subject", Keys: func(_, value []byte) iter.Seq[[]byte] {
	_, subjects, _ := bytes.Cut(value, []byte("/"))
	return bytes.SplitSeq(subjects, []byte(","))
}}

// openBooks opens a store with two indexes and three books.
func openBooks() (*kv.DB, func()) {
	db, done := openTemporaryWith(kv.Options{Indexes: []kv.Index{byAuthor, bySubject}})
	var batch kv.Batch
	batch.Put([]byte("Dune"), []byte("Herbert/desert,power"))
	batch.Put([]byte("Emma"), []byte("Austen/love"))
	batch.Put([]byte("Persuasion"), []byte("Austen/love,sea"))
	if _, err := db.Apply(&batch); err != nil {
		panic(err)
	}
	return db, done
}

func ExampleDB_ScanIndex() {
	db, done := openBooks()
	defer done()
	for title, book := range db.ScanIndex("author", kv.Range{}) {
		fmt.Printf("%s: %s\n", title, book)
	}
	for title := range db.ScanIndex("subject", kv.Range{Start: []byte("love"), Reverse: true}) {
		fmt.Printf("%s\n", title)
	}
	// Output:
	// Emma: Austen/love
	// Persuasion: Austen/love,sea
	// Dune: Herbert/desert,power
	// Persuasion
	// Dune
	// Persuasion
	// Emma
}

// A transaction finds its own writes in an index.
func ExampleTx_ScanIndex() {
	db, done := openBooks()
	defer done()
	err := db.Update(func(tx *kv.Tx) error {
		if err := tx.Put([]byte("Lear"), []byte("Shakespeare/love,power")); err != nil {
			return err
		}
		for title := range tx.ScanIndex("subject", kv.Range{Prefix: []byte("power")}) {
			fmt.Printf("%s\n", title)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// Dune
	// Lear
	// <nil>
}

func ExampleReadView_ScanIndex() {
	db, done := openBooks()
	defer done()
	view, err := db.ReadView()
	if err != nil {
		panic(err)
	}
	defer view.Close()
	if _, err := db.Delete([]byte("Emma")); err != nil {
		panic(err)
	}
	for title := range view.ScanIndex("author", kv.Range{Limit: 1}) {
		fmt.Printf("%s\n", title)
	}
	// Output:
	// Emma
}

// A function may refuse a pair by a panic: the commit fails, and the store goes on.
func ExampleIndex() {
	byLast := kv.Index{Name: "last", Keys: func(_, value []byte) iter.Seq[[]byte] {
		return slices.Values([][]byte{value[len(value)-1:]})
	}}
	db, done := openTemporaryWith(kv.Options{Indexes: []kv.Index{byLast}})
	defer done()
	_, err := db.Put([]byte("empty"), nil)
	fmt.Println(errors.Is(err, kv.ErrIndex), db.Offset())
	offset, err := db.Put([]byte("k"), []byte("xyz"))
	fmt.Println(offset, err)
	// Output:
	// true 0
	// 1 <nil>
}
