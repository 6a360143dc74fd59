package kv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/walnutkv/walnut/kv"
)

// A file that is no backup is told from a backup that is damaged.
func ExampleRestore_notBackup() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	_, err = kv.Restore(context.Background(), strings.NewReader("dear diary"), filepath.Join(dir, "store"), kv.RestoreOptions{})
	fmt.Println(errors.Is(err, kv.ErrNotBackup))
	// Output: true
}

// A copy is compared with its origin by their checksums, without reading a pair.
func ExampleChecksum() {
	db, err := kv.OpenMemory(kv.Options{})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	for _, name := range []string{"Ada", "Grace"} {
		if _, err := db.Put([]byte("user:"+name), []byte(name)); err != nil {
			panic(err)
		}
	}
	var backup bytes.Buffer
	if _, err := db.Backup(context.Background(), &backup); err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if _, err := kv.Restore(context.Background(), &backup, filepath.Join(dir, "store"), kv.RestoreOptions{}); err != nil {
		panic(err)
	}
	restored, err := kv.Open(filepath.Join(dir, "store"), kv.Options{})
	if err != nil {
		panic(err)
	}
	defer restored.Close()
	fmt.Println(db.Stats().Checksum == restored.Stats().Checksum, restored.Stats().Checksum)
	// Output: true 83be3dd1fa36aec4
}
