// Command ages keeps people with their years of birth, and lists them by age:
//
//	printf '{"name":"Ada","born":1815}\n{"name":"Grace","born":1906}\n' | go run ./examples/ages -dir store
//	go run ./examples/ages -dir store -list -from 1900 -to 1999
//
// The order comes from a secondary index, which is a function: nothing of it is on disk, and it can't disagree with the pairs.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/walnutkv/walnut/kv"
)

// person is a value.
type person struct {
	Name string `json:"name"`
	Born int64  `json:"born"` // The year, negative before the year 1.
}

var people = []byte("person/")

const byBirth = "born"

// options have the index. A pair that isn't a person's has no key in it.
var options = kv.Options{
	Logger: slog.Default(),
	Indexes: []kv.Index{{Name: byBirth, Keys: func(key, value []byte) iter.Seq[[]byte] {
		var p person
		if !bytes.HasPrefix(key, people) || json.Unmarshal(value, &p) != nil {
			return nil
		}
		return slices.Values([][]byte{yearKey(p.Born)})
	}}},
}

// yearKey makes bytes that sort as years do: the sign bit is flipped, since a negative number has a one there.
func yearKey(year int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(year)^1<<63) }

// through is the range of the people who were born from one year to another, both included.
func through(from, to int64) kv.Range {
	r := kv.Range{Start: yearKey(from)}
	if to < math.MaxInt64 {
		r.End = yearKey(to + 1)
	}
	return r
}

func main() {
	dir := flag.String("dir", "store", "the directory of the store")
	list := flag.Bool("list", false, "list people instead of adding those on standard input")
	from := flag.Int64("from", math.MinInt64, "list those born in this year or later")
	to := flag.Int64("to", math.MaxInt64, "list those born in this year or earlier")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *list {
		err = printPeople(ctx, *dir, through(*from, *to), os.Stdout)
	} else {
		err = addPeople(ctx, *dir, os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ages:", err)
		os.Exit(1)
	}
}

// addPeople adds all people of the input or, after an error, none.
func addPeople(ctx context.Context, dir string, in io.Reader) (err error) {
	var batch kv.Batch
	for decoder := json.NewDecoder(in); ; {
		var p person
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("person %d: %w", batch.Len()+1, err)
		}
		value, err := json.Marshal(p)
		if err != nil {
			return err
		}
		batch.Put(append(bytes.Clone(people), p.Name...), value)
	}
	db, err := kv.OpenContext(ctx, dir, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ApplyContext(ctx, &batch)
	return err
}

// printPeople lists the oldest first. It opens the store for reading, so it works beside a program that writes.
func printPeople(ctx context.Context, dir string, born kv.Range, out io.Writer) (err error) {
	reading := options
	reading.ReadOnly = true
	db, err := kv.OpenContext(ctx, dir, reading)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *kv.Tx) error {
		for key, value := range tx.ScanIndex(byBirth, born) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var p person
			if err := json.Unmarshal(value, &p); err != nil {
				return fmt.Errorf("%q: %w", key, err)
			}
			if _, err := fmt.Fprintf(out, "%d %s\n", p.Born, p.Name); err != nil {
				return err
			}
		}
		return nil
	})
}
