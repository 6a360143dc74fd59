package kv

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
)

// soakStep is what a writer does as its step i, from 1: one commit, which follows from the two numbers alone. With
// it goes the mark, which says that the step was the writer's last.
type soakStep struct{ writer, i int64 }

// soakKind is what a step changes: so many of its writer's keys from the first on, which it puts or deletes; or accounts.
type soakKind struct {
	first, count int64
	put          bool
	from, to     int64 // The accounts of a transfer, the same one where there is none.
	amount       int64
}

func (s soakStep) kind() soakKind {
	if s.i <= soakKeys/soakLoad {
		return soakKind{first: (s.i - 1) * soakLoad, count: soakLoad, put: true}
	}
	var rng rand.PCG
	rng.Seed(uint64(s.writer), uint64(s.i))
	chance, first := rng.Uint64()%16, int64(rng.Uint64()%soakKeys)
	switch {
	case chance < 10:
		return soakKind{first: first, count: 1, put: true}
	case chance < 12:
		return soakKind{first: first, count: 10, put: true}
	case chance < 13:
		return soakKind{first: first, count: 1}
	case chance < 14:
		return soakKind{first: first, count: 4}
	}
	from := first % soakAccounts
	return soakKind{from: from, to: (from + 1 + s.i%(soakAccounts-1)) % soakAccounts, amount: 1 + s.i%7}
}

// changes yields the keys that the step changes, and whether it puts or deletes them.
func (s soakStep) changes() func(yield func(key int64, put bool) bool) {
	kind := s.kind()
	return func(yield func(int64, bool) bool) {
		for key := kind.first; key < min(kind.first+kind.count, soakKeys); key++ {
			if !yield(key, kind.put) {
				return
			}
		}
	}
}

func (s soakStep) perform(db *DB, values soakValues) error {
	kind := s.kind()
	if kind.from != kind.to {
		return db.Update(func(tx *Tx) error {
			return errors.Join(
				soakAdd(tx, kind.from, -kind.amount), soakAdd(tx, kind.to, kind.amount),
				tx.PutTTL([]byte(soakSession(s)), fmt.Append(nil, s.i), soakTTL),
				tx.Put([]byte(soakMark(s.writer)), fmt.Append(nil, s.i)))
		})
	}
	var b Batch
	b.Put([]byte(soakMark(s.writer)), fmt.Append(nil, s.i))
	if s.i%soakSessions == 0 {
		b.PutTTL([]byte(soakSession(s)), fmt.Append(nil, s.i), soakTTL)
	}
	switch {
	case kind.put:
		for key := range s.changes() {
			b.Put([]byte(soakKey(s.writer, key)), values.of(s, key))
		}
	case kind.count == 1:
		b.Delete([]byte(soakKey(s.writer, kind.first)))
	default:
		b.DeleteRange([]byte(soakKey(s.writer, kind.first)), []byte(soakKey(s.writer, kind.first+kind.count)))
	}
	_, err := db.Apply(&b)
	return err
}

func soakAdd(tx *Tx, account, amount int64) error {
	key := []byte(soakAccount(account))
	return tx.Put(key, fmt.Append(nil, numberIn(tx, key)+amount))
}

func soakKey(w, key int64) string   { return fmt.Sprintf("%d/%09d", w, key) }
func soakMark(w int64) string       { return fmt.Sprintf("mark/%d", w) }
func soakAccount(a int64) string    { return fmt.Sprintf("account/%02d", a) }
func soakSession(s soakStep) string { return fmt.Sprintf("session/%d/%09d", s.writer, s.i) }
func soakNumber(i int64) (b []byte) { return fmt.Appendf(nil, "%8d", i) }

// soakValues are what keys get: 100 to 300 bytes after the step's number.
type soakValues struct{ noise bool }

func (v soakValues) of(s soakStep, key int64) []byte {
	var rng rand.PCG
	rng.Seed(uint64(s.i), uint64(s.writer<<32|key))
	value, size := fmt.Appendf(make([]byte, 0, 320), "%d ", s.i), 100+int(rng.Uint64()%200)
	if !v.noise {
		text := soakText()
		at := int(rng.Uint64() % uint64(len(text)-size))
		return append(value, text[at:at+size]...)
	}
	for ; size > 0; size-- {
		value = append(value, byte(rng.Uint64()>>32))
	}
	return value
}

// soakText is real text, of which values are made.
var soakText = sync.OnceValue(func() []byte {
	file, err := os.Open("../testdata/unicode/UnicodeData.tsv.gz")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		panic(err)
	}
	return text
})
