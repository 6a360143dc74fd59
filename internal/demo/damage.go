package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The row that the demo looks at, long after the first commit, and its name with one bit flipped: an A (41 in hexadecimal) for
// an I (49).
const (
	faceKey     = "1F600"
	faceName    = "GRINNING FACE"
	damagedName = "GRANNING FACE"
)

const exitDamaged = 4 // kvctl's exit code for damage.

// flipOneBit copies the store "full" to "copy", damages the copy, and shows that no command reads from it.
func flipOneBit(s *stage, _ *dataSet) error {
	s.begin("One bit of a copy is flipped")
	damaged := filepath.Join(s.scratch, "copy")
	if err := os.CopyFS(damaged, os.DirFS(filepath.Join(s.scratch, "full"))); err != nil {
		return err
	}
	where, err := flipBit(damaged)
	if err != nil {
		return err
	}
	s.tell("The first store, closed cleanly, is copied, and in the copy one bit is flipped, as an ageing disk may do. In %s "+
		"the %s is a %s now. The file is as long as before, and every other byte is as it was: without checksums a reader "+
		"would get the wrong name.", where, faceName, damagedName)
	before, err := contents(damaged)
	if err != nil {
		return err
	}
	read, err := s.show("copy", "get", faceKey)
	if err != nil {
		return err
	}
	written, err := s.show("copy", "put", "greeting", "hello")
	if err != nil {
		return err
	}
	if err := errors.Join(
		s.claim(read.code == exitDamaged && read.stdout == "", "the read was refused (exit code 4) and gave no bytes."),
		s.claim(written.code == exitDamaged, "so was the write: the store doesn't open."),
		s.claim(strings.Contains(read.stderr, filepath.Base(where)), "the message names the damaged file."),
	); err != nil {
		return err
	}
	return look(s, before)
}

// look runs check on the damaged store, which still has the contents before, and on the one it was copied from.
func look(s *stage, before map[string]string) error {
	check, err := s.show("copy", "check")
	if err != nil {
		return err
	}
	after, err := contents(filepath.Join(s.scratch, "copy"))
	if err != nil {
		return err
	}
	original, err := s.show("full", "check")
	if err != nil {
		return err
	}
	s.tell("Damage to what was durable is never skipped and never mended by itself. Walnut says where it is and stops: " +
		"a person decides what to do about it, with the bytes still as they were found.")
	return errors.Join(
		s.claim(check.code == exitDamaged, "check finds it too (exit code 4)."),
		s.claim(sameContents(before, after), "none of these commands changed a byte of the damaged log."),
		s.claim(original.code == 0, "the original is sound (exit code 0)."),
	)
}

// flipBit flips the bit in the store file that holds the name, and returns the file's path with the directory's name.
func flipBit(dir string) (string, error) {
	stores, err := filepath.Glob(filepath.Join(dir, "wal", "*.store"))
	if err != nil {
		return "", err
	}
	for _, store := range stores {
		text, err := os.ReadFile(store)
		if err != nil {
			return "", err
		}
		at := bytes.Index(text, []byte(`"`+faceName+`"`))
		if at < 0 {
			continue
		}
		copy(text[at+1:], damagedName)
		return filepath.Join(filepath.Base(dir), "wal", filepath.Base(store)), os.WriteFile(store, text, 0o600)
	}
	return "", fmt.Errorf("no store file in %s holds %s", dir, faceName)
}

// contents returns the bytes of every file of a store, by path. It leaves out the lock file, which
// every process that tries to write writes its number to.
func contents(dir string) (map[string]string, error) {
	byPath := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "LOCK" {
			return err
		}
		text, err := os.ReadFile(path)
		byPath[path] = string(text)
		return err
	})
	return byPath, err
}

func sameContents(a, b map[string]string) bool {
	same := len(a) == len(b)
	for path, text := range a {
		other, there := b[path]
		same = same && there && text == other
	}
	return same
}
