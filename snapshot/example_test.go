package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"os"
	"path/filepath"

	"github.com/walnutkv/walnut/snapshot"
)

// fruit are entries in the order of their keys.
func fruit(yield func(key, data []byte) bool) {
	for _, pair := range [][2]string{{"apple", "red"}, {"lemon", "yellow"}, {"plum", "blue"}} {
		if !yield([]byte(pair[0]), []byte(pair[1])) {
			return
		}
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "snapshot-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	header := snapshot.Header{Offset: 1000}
	path, info, err := snapshot.Write(context.Background(), nil, dir, header, snapshot.Options{}, fruit)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(filepath.Base(path), "has", info.Entries, "entries")

	file, err := snapshot.Open(nil, path)
	if err != nil {
		log.Fatal(err)
	}
	for entry, err := range file.Entries(0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s is %s\n", entry.Key, entry.Data)
	}
	data, found, err := file.Get([]byte("plum"))
	fmt.Printf("%s %v %v\n", data, found, err)
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 00000000000000001000.snap has 3 entries
	// apple is red
	// lemon is yellow
	// plum is blue
	// blue true <nil>
}

// Several goroutines decode the values, and the caller receives them in order.
func ExampleDecode() {
	dir, err := os.MkdirTemp("", "snapshot-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path, _, err := snapshot.Write(context.Background(), nil, dir, snapshot.Header{}, snapshot.Options{}, fruit)
	if err != nil {
		log.Fatal(err)
	}
	file, err := snapshot.Open(nil, path)
	if err != nil {
		log.Fatal(err)
	}
	describe := func(e snapshot.Entry) (string, error) { return fmt.Sprintf("%s %s", e.Data, e.Key), nil }
	for description, err := range snapshot.Decode(file, 0, describe) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(description)
	}
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// red apple
	// yellow lemon
	// blue plum
}

// A backup can be written to any io.Writer. Only the end of reading it shows that it was whole.
func ExampleWriter() {
	var backup bytes.Buffer
	writer, err := snapshot.NewWriter(&backup, snapshot.Header{Offset: 7}, snapshot.Options{Compression: snapshot.Zstd})
	if err != nil {
		log.Fatal(err)
	}
	for key, data := range fruit {
		if err := writer.Add(key, data); err != nil {
			log.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}

	backup.Truncate(backup.Len() - 1)
	reader, err := snapshot.NewReader(&backup, snapshot.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for entry, err := range reader.Entries() {
		if err != nil {
			fmt.Println(errors.Is(err, snapshot.ErrCorrupt), err)
			break
		}
		fmt.Printf("%s\n", entry.Key)
	}
	// Output:
	// apple
	// lemon
	// plum
	// true snapshot: damaged: stream at position 206: the bytes end too soon: unexpected EOF
}

// An iterator of entries that can fail cancels the context with its error and ends, so that half a backup never becomes a
// snapshot.
func ExampleWrite_stream() {
	dir, err := os.MkdirTemp("", "snapshot-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	restore := func(backup []byte) error {
		reader, err := snapshot.NewReader(bytes.NewReader(backup), snapshot.Options{})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		_, _, err = snapshot.Write(ctx, nil, dir, reader.Header(), snapshot.Options{}, entriesOf(reader, cancel))
		return err
	}

	var backup bytes.Buffer
	writer, err := snapshot.NewWriter(&backup, snapshot.Header{Offset: 7}, snapshot.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(writer.Add([]byte("k"), []byte("v")), writer.Close()); err != nil {
		log.Fatal(err)
	}
	for _, data := range [][]byte{backup.Bytes()[:100], backup.Bytes()} {
		err := restore(data)
		places, _ := snapshot.List(nil, dir)
		fmt.Println(errors.Is(err, snapshot.ErrCorrupt), len(places))
	}
	// Output:
	// true 0
	// false 1
}

// entriesOf yields the entries of a reader, and cancels with the error if reading fails.
func entriesOf(reader *snapshot.Reader, cancel context.CancelCauseFunc) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, data []byte) bool) {
		for entry, err := range reader.Entries() {
			if err != nil {
				cancel(err)
				return
			}
			if !yield(entry.Key, entry.Data) {
				return
			}
		}
	}
}

// List goes by names alone. Opening a file checks its two ends, and verifying it checks all of it.
func ExampleList() {
	dir, err := os.MkdirTemp("", "snapshot-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, offset := range []uint64{100, 200} {
		_, _, err := snapshot.Write(context.Background(), nil, dir, snapshot.Header{Offset: offset}, snapshot.Options{}, fruit)
		if err != nil {
			log.Fatal(err)
		}
	}

	places, err := snapshot.List(nil, dir)
	if err != nil {
		log.Fatal(err)
	}
	for _, place := range places {
		file, err := snapshot.Open(nil, place.Path)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(place.Offset, file.Info().Entries, file.Verify(context.Background()))
		if err := file.Close(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(snapshot.Remove(nil, dir, 100))
	// Output:
	// 200 3 <nil>
	// 100 3 <nil>
	// <nil>
}
