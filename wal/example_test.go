package wal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/walnutkv/walnut/wal"
)

// open opens a log in a new directory. Whoever calls it removes that with what it returns.
func open(opts wal.Options) (l *wal.Log, dir string, remove func()) {
	dir, err := os.MkdirTemp("", "wal-example-")
	if err != nil {
		log.Fatal(err)
	}
	if l, err = wal.Open(dir, opts); err != nil {
		log.Fatal(err)
	}
	return l, dir, func() { _ = os.RemoveAll(dir) }
}

func Example() {
	dir, err := os.MkdirTemp("", "wal-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	l, err := wal.Open(dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, word := range []string{"one", "two", "three"} {
		offset, err := l.Append([]byte(word)) // Durable when it returns.
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("appended", offset)
	}
	for record, err := range l.Records(2) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("read", record.Offset, string(record.Payload))
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}

	l, err = wal.Open(dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("opened again:", l.Recovery().Outcome, l.First(), "to", l.Last())
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// appended 1
	// appended 2
	// appended 3
	// read 2 two
	// read 3 three
	// opened again: clean 1 to 3
}

// A follower reads what is there and then waits for more. In the default mode what it sees is durable.
func ExampleLog_Follow() {
	l, _, remove := open(wal.Options{})
	defer remove()
	go func() {
		for _, word := range []string{"breaking", "news"} {
			if _, err := l.Append([]byte(word)); err != nil {
				log.Fatal(err)
			}
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for record, err := range l.Follow(ctx, 1) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(record.Offset, string(record.Payload))
		if record.Offset == 2 {
			cancel()
		}
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 breaking
	// 2 news
}

// Truncation removes whole segments: the first offset held is at most the one asked for.
func ExampleLog_TruncateFront() {
	l, _, remove := open(wal.Options{SegmentSize: wal.MinSegmentSize})
	defer remove()
	for range 10 {
		if _, err := l.Append(make([]byte, 1500)); err != nil { // Two fit into a segment.
			log.Fatal(err)
		}
	}
	if err := l.TruncateFront(6); err != nil {
		log.Fatal(err)
	}
	fmt.Println("held:", l.First(), "to", l.Last())
	_, err := l.Read(4)
	fmt.Println(errors.Is(err, wal.ErrTruncated))
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// held: 5 to 10
	// true
}

// Check reads everything and changes nothing. Here one bit of a closed log has rotted.
func ExampleCheck() {
	l, dir, remove := open(wal.Options{})
	defer remove()
	if _, err := l.AppendBatch([][]byte{[]byte("one"), []byte("two")}); err != nil {
		log.Fatal(err)
	}
	path := l.Segments()[0].Path
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	data[110] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		log.Fatal(err)
	}

	violations, err := wal.Check(dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range violations {
		fmt.Println(v.Damage, filepath.Base(v.Path), "position", v.Position, "offset", v.Offset)
	}
	_, err = wal.Open(dir, wal.Options{})
	fmt.Println("open refuses:", errors.Is(err, wal.ErrCorrupt))
	// Output:
	// true 00000000000000000001.store position 104 offset 2
	// open refuses: true
}

// What is left of a damaged log can be read, and becomes a log again once a repair has cut the damage from it.
func ExampleOpenSalvage() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := wal.Open(dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := l.AppendBatch([][]byte{[]byte("one"), []byte("two, to be damaged"), []byte("three")}); err != nil {
		log.Fatal(err)
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(dir, "00000000000000000001.store")
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Replace(data, []byte("to be"), []byte("is it"), 1), 0o600)
	}
	if err != nil {
		log.Fatal(err)
	}

	left, err := wal.OpenSalvage(dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer left.Close()
	for piece, err := range left.Pieces() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(piece.Offset, piece.Err == nil, piece.Unproven)
	}
	plan, err := left.Keep(1, 1)
	if err == nil {
		err = left.Apply(plan)
	}
	fmt.Println(len(plan.Cuts), err)
	// Output:
	// 1 true false
	// 2 false false
	// 3 true true
	// 1 <nil>
}
