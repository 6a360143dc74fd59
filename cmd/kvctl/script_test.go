package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/walnutkv/walnut/kv"
)

// history makes a store with a log that checkpoints can truncate, which takes more than one segment.
func history(ts *testscript.TestScript, neg bool, args []string) {
	number := commandNumber(ts, neg, args, "history DIR N")
	db, err := kv.Open(ts.MkAbs(args[0]), kv.Options{SegmentSize: 4 << 10, CheckpointFactor: -1, Sync: kv.SyncNever})
	ts.Check(err)
	for i := 1; i <= number; i++ {
		var batch kv.Batch
		batch.Put([]byte("k"), fmt.Append(nil, i))
		batch.Put(fmt.Append(nil, "k", i), fmt.Append(nil, i))
		_, err := db.Apply(&batch)
		ts.Check(err)
	}
	ts.Check(db.Close())
}

func flip(ts *testscript.TestScript, neg bool, args []string) {
	position := commandNumber(ts, neg, args, "flip FILE POSITION")
	changeFile(ts, args[0], func(data []byte) []byte {
		data[(position+len(data))%len(data)] ^= 1
		return data
	})
}

func cut(ts *testscript.TestScript, neg bool, args []string) {
	number := commandNumber(ts, neg, args, "cut FILE N")
	changeFile(ts, args[0], func(data []byte) []byte { return data[:len(data)-number] })
}

// newer changes the version and the checksum of a snapshot's header, at 8 and 56 in docs/snapshot.md.
func newer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer FILE")
	}
	changeFile(ts, args[0], func(data []byte) []byte {
		binary.LittleEndian.PutUint32(data[8:], 99)
		binary.LittleEndian.PutUint32(data[56:], crc32.Checksum(data[:56], crc32.MakeTable(crc32.Castagnoli)))
		return data
	})
}

// commandNumber checks that a command has a name and a number, and returns the number.
func commandNumber(ts *testscript.TestScript, neg bool, args []string, usage string) int {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: %s", usage)
	}
	number, err := strconv.Atoi(args[1])
	ts.Check(err)
	return number
}

func changeFile(ts *testscript.TestScript, name string, change func(data []byte) []byte) {
	path := ts.MkAbs(name)
	data, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.WriteFile(path, change(data), 0o600))
}
