package kv_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// get returns the number that a key has, 0 where there is none.
func get(tx *kv.Tx, key string) (int, error) {
	value, err := tx.Get([]byte(key))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(value))
}

func set(tx *kv.Tx, key string, number int) error {
	return tx.Put([]byte(key), []byte(strconv.Itoa(number)))
}

func ExampleDB_Update() {
	db, done := openTemporary()
	defer done()
	// A transfer: both accounts change, or none does, and nothing else writes in between.
	transfer := func(from, to string, amount int) error {
		return db.Update(func(tx *kv.Tx) error {
			source, err := get(tx, from)
			if err != nil {
				return err
			}
			if source < amount {
				return fmt.Errorf("%s has only %d", from, source)
			}
			target, err := get(tx, to)
			if err != nil {
				return err
			}
			return errors.Join(set(tx, from, source-amount), set(tx, to, target+amount))
		})
	}
	if _, err := db.Put([]byte("ann"), []byte("100")); err != nil {
		panic(err)
	}
	fmt.Println(transfer("ann", "bob", 30))
	fmt.Println(transfer("ann", "bob", 80))
	for key, value := range db.Scan(kv.Range{}) {
		fmt.Printf("%s=%s\n", key, value)
	}
	// Output:
	// <nil>
	// ann has only 70
	// ann=70
	// bob=30
}

// A compare-and-set is an Update that returns an error where the comparison fails.
func ExampleDB_Update_compareAndSet() {
	db, done := openTemporary()
	defer done()
	errChanged := errors.New("somebody else was faster")
	compareAndSet := func(key, old, value string) error {
		return db.Update(func(tx *kv.Tx) error {
			current, err := tx.Get([]byte(key))
			if err != nil && !errors.Is(err, kv.ErrNotFound) {
				return err
			}
			if string(current) != old {
				return errChanged
			}
			return tx.Put([]byte(key), []byte(value))
		})
	}
	fmt.Println(compareAndSet("leader", "", "node 1"))
	fmt.Println(compareAndSet("leader", "", "node 2"))
	// Output:
	// <nil>
	// somebody else was faster
}

func ExampleDB_UpdateContext() {
	db, done := openTemporary()
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	increment := func(tx *kv.Tx) error {
		n, err := get(tx, "visits")
		if err != nil {
			return err
		}
		return set(tx, "visits", n+1)
	}
	fmt.Println(db.UpdateContext(ctx, increment))
	cancel()
	fmt.Println(db.UpdateContext(ctx, increment))
	value, err := db.Get([]byte("visits"))
	fmt.Printf("%s %v\n", value, err)
	// Output:
	// <nil>
	// kv: commit refused, nothing was changed: context canceled
	// 1 <nil>
}

func ExampleDB_ApplyContext() {
	db, done := openTemporary()
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var batch kv.Batch
	batch.Put([]byte("k"), []byte("v"))
	fmt.Println(db.ApplyContext(ctx, &batch))
	// Output: 1 <nil>
}

func ExampleDB_View() {
	db, done := openTemporary()
	defer done()
	var batch kv.Batch
	batch.Put([]byte("price/apple"), []byte("3"))
	batch.Put([]byte("price/pear"), []byte("5"))
	if _, err := db.Apply(&batch); err != nil {
		panic(err)
	}
	err := db.View(func(tx *kv.Tx) error {
		if _, err := db.Put([]byte("price/quince"), []byte("8")); err != nil { // It doesn't wait for the View.
			return err
		}
		first, _, _ := tx.First(kv.Range{Prefix: []byte("price/")})
		last, _, _ := tx.Last(kv.Range{Prefix: []byte("price/")})
		count, _ := tx.Count(kv.Range{})
		fmt.Printf("%d prices as of commit %d, %s to %s\n", count, tx.Offset(), first, last)
		return nil
	})
	fmt.Println(err, db.Offset())
	// Output:
	// 2 prices as of commit 1, price/apple to price/pear
	// <nil> 2
}

// Writing while iterating is safe: the iteration goes on over what was there when it began.
func ExampleTx_Scan() {
	db, done := openTemporary()
	defer done()
	err := db.Update(func(tx *kv.Tx) error {
		for i := range 3 {
			if err := set(tx, fmt.Sprint("queue/", i), i); err != nil {
				return err
			}
		}
		for key, value := range tx.Scan(kv.Range{Prefix: []byte("queue/")}) {
			if err := tx.Put(append([]byte("finished/"), key...), value); err != nil {
				return err
			}
			if err := tx.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Println(err)
	for key := range db.Scan(kv.Range{}) {
		fmt.Printf("%s\n", key)
	}
	// Output:
	// <nil>
	// finished/queue/0
	// finished/queue/1
	// finished/queue/2
}

func ExampleTx_DeleteRange() {
	db, done := openTemporary()
	defer done()
	err := db.Update(func(tx *kv.Tx) error {
		for i := range 1000 {
			if err := set(tx, fmt.Sprintf("log/%03d", i), i); err != nil {
				return err
			}
		}
		if err := tx.DeleteRange([]byte("log/"), []byte("log/998")); err != nil { // One mutation for all of them.
			return err
		}
		count, err := tx.Count(kv.Range{})
		fmt.Println(count)
		return err
	})
	fmt.Println(err)
	// Output:
	// 2
	// <nil>
}

func ExampleDB_ReadView() {
	db, done := openTemporary()
	defer done()
	if _, err := db.Put([]byte("k"), []byte("then")); err != nil {
		panic(err)
	}
	view, err := db.ReadView()
	if err != nil {
		panic(err)
	}
	defer view.Close()
	if _, err := db.Put([]byte("k"), []byte("now")); err != nil {
		panic(err)
	}
	then, err := view.Get([]byte("k"))
	fmt.Printf("%s as of %d, %v\n", then, view.Offset(), err)
	now, err := db.Get([]byte("k"))
	fmt.Printf("%s as of %d, %v\n", now, db.Offset(), err)
	// Output:
	// then as of 1, <nil>
	// now as of 2, <nil>
}
