package wal_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/walnutkv/walnut/wal"
)

// A log with an archive loses nothing by being truncated: its history is in the two together.
func ExampleOpenArchive() {
	base, err := os.MkdirTemp("", "wal-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(base) }()
	dir, kept := filepath.Join(base, "log"), filepath.Join(base, "archive")

	l, err := wal.Open(dir, wal.Options{SegmentSize: wal.MinSegmentSize, ArchiveDir: kept})
	if err != nil {
		log.Fatal(err)
	}
	for n := range 200 {
		if _, err := l.Append(fmt.Appendf(nil, "%0100d", n)); err != nil {
			log.Fatal(err)
		}
	}
	if err := l.TruncateFront(l.Last()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the log alone begins with 1:", l.First() == 1)
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}

	history, err := wal.OpenArchive(wal.Options{}, kept, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = history.Close() }()
	count := 0
	for _, err := range history.Records(1) {
		if err != nil {
			log.Fatal(err)
		}
		count++
	}
	fmt.Printf("its history is %d to %d, %d records\n", history.First(), history.Last(), count)
	// Output:
	// the log alone begins with 1: false
	// its history is 1 to 200, 200 records
}
