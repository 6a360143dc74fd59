package kv_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/walnutkv/walnut/kv"
)

func ExampleDB_Deadline() {
	db, done := openTemporary()
	defer done()
	if _, err := db.PutTTL([]byte("session"), []byte("token"), time.Hour); err != nil {
		panic(err)
	}
	deadline, err := db.Deadline([]byte("session"))
	fmt.Println(time.Until(deadline) > 59*time.Minute, err)
	_, err = db.Deadline([]byte("none"))
	fmt.Println(errors.Is(err, kv.ErrNotFound))
	// Output:
	// true <nil>
	// true
}

func ExampleTx_PutTTL() {
	db, done := openTemporary()
	defer done()
	err := db.Update(func(tx *kv.Tx) error {
		if has, err := tx.Has([]byte("lock")); has || err != nil {
			return errors.Join(errors.New("taken"), err)
		}
		return tx.PutTTL([]byte("lock"), []byte("holder"), 30*time.Second)
	})
	fmt.Println(err, db.Stats().Keys)
	// Output: <nil> 1
}

// A lease that is about to end is renewed.
func ExampleTx_Deadline() {
	db, done := openTemporary()
	defer done()
	if _, err := db.PutTTL([]byte("lease"), []byte("holder"), time.Minute); err != nil {
		panic(err)
	}
	err := db.Update(func(tx *kv.Tx) error {
		deadline, err := tx.Deadline([]byte("lease"))
		if err != nil || time.Until(deadline) > 10*time.Minute {
			return err
		}
		return tx.PutTTL([]byte("lease"), []byte("holder"), time.Hour)
	})
	deadline, _ := db.Deadline([]byte("lease"))
	fmt.Println(time.Until(deadline) > 10*time.Minute, err)
	// Output: true <nil>
}

func ExampleReadView_Deadline() {
	db, done := openTemporary()
	defer done()
	if _, err := db.Put([]byte("k"), []byte("v")); err != nil {
		panic(err)
	}
	view, err := db.ReadView()
	if err != nil {
		panic(err)
	}
	defer view.Close()
	deadline, err := view.Deadline([]byte("k"))
	fmt.Println(deadline.IsZero(), err)
	// Output: true <nil>
}

func ExampleBatch_PutTTL() {
	db, done := openTemporary()
	defer done()
	var batch kv.Batch
	batch.PutTTL([]byte("session"), []byte("token"), time.Hour)
	batch.PutTTL([]byte("session/user"), []byte("Ada"), time.Hour)
	fmt.Println(db.Apply(&batch))
	// Output: 1 <nil>
}
