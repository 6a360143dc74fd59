package kv_test

import (
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
