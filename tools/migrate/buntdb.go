package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tidwall/buntdb"
)

// buntdbSource is a buntdb file, read into a buntdb in memory: opening the file itself would make one that is missing, and
// shorten one that ends in the middle of a command.
type buntdbSource struct {
	db      *buntdb.DB
	path    string
	before  os.FileInfo
	expired int
}

func openBuntdb(path string) (source, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkCommands(file, before.Size()); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	db, err := buntdb.Open(":memory:")
	if err != nil {
		return nil, err
	}
	if err := db.Load(io.LimitReader(file, before.Size())); err != nil {
		return nil, errors.Join(damaged("%v", err), db.Close())
	}
	return &buntdbSource{db: db, path: path, before: before}, nil
}

// each checks last that nothing has written to the file: buntdb has no lock that would say so.
func (s *buntdbSource) each(visit func(pair) error) error {
	err := s.db.View(func(tx *buntdb.Tx) error {
		var failed error
		err := tx.Ascend("", func(key, value string) bool {
			failed = s.visit(tx, key, value, visit)
			return failed == nil
		})
		return errors.Join(failed, err)
	})
	if err != nil {
		return err
	}
	after, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if after.Size() != s.before.Size() || !after.ModTime().Equal(s.before.ModTime()) {
		return fmt.Errorf("%s was written to meanwhile: %w, and start over with --into-existing", s.path, errLocked)
	}
	return nil
}

func (s *buntdbSource) visit(tx *buntdb.Tx, key, value string, visit func(pair) error) error {
	left, err := tx.TTL(key)
	if errors.Is(err, buntdb.ErrNotFound) {
		s.expired++
		return nil
	}
	if err != nil {
		return err
	}
	p := pair{key: []byte(key), value: []byte(value)}
	if left >= 0 {
		p.deadline = time.Now().Add(left).Round(time.Second) // The file has whole seconds.
	}
	return visit(p)
}

func (s *buntdbSource) notes() []string {
	if s.expired == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d pairs had expired and were left out", s.expired)}
}

func (s *buntdbSource) Close() error { return s.db.Close() }
