package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// badgerSource is a Badger directory. Of each key it has the newest version.
type badgerSource struct {
	db     *badger.DB
	errors *badgerErrors
	metas  int // Pairs that have a user meta byte.
}

// badgerErrors is a logger that keeps the first error. Badger logs that a value can't be read, and then hands out an empty one.
type badgerErrors struct {
	mu    sync.Mutex
	first error
}

// Errorf keeps the error if it is the first.
func (e *badgerErrors) Errorf(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first == nil {
		e.first = fmt.Errorf(strings.TrimSpace(format), args...)
	}
}

func (e *badgerErrors) err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.first
}

// Warningf ignores what is no error.
func (e *badgerErrors) Warningf(string, ...any) {}

// Infof ignores what is no error.
func (e *badgerErrors) Infof(string, ...any) {}

// Debugf ignores what is no error.
func (e *badgerErrors) Debugf(string, ...any) {}

// openBadger has Badger check its tables, since its iterators end without a word where a block is damaged. Badger could do so while
// it opens them, but in goroutines where a panic can't be caught. Most of its errors wrap others by their text alone.
func openBadger(dir string) (source, error) {
	log := new(badgerErrors)
	opts := badger.DefaultOptions(dir).
		WithReadOnly(true).
		WithChecksumVerificationMode(options.NoVerification).
		WithVerifyValueChecksum(true).
		WithMetricsEnabled(false).
		WithLogger(log)
	if err := checkManifest(opts); err != nil {
		if _, gone := os.Stat(filepath.Join(dir, "LOCK")); gone == nil && errors.Is(err, errDamaged) {
			// Not wrapped: in such a directory it is no damage.
			err = fmt.Errorf("its LOCK says that a process has it open or died with it: stop that or, if it is dead, "+
				"open it once with Badger, for writing, and close it (%v)", err)
		}
		return nil, err
	}
	db, err := badger.Open(opts)
	switch {
	case err == nil:
		if err := guarded(db.VerifyChecksum); err != nil {
			return nil, errors.Join(damaged("a table: %v", err), db.Close())
		}
		return &badgerSource{db: db, errors: log}, nil
	case errors.Is(err, syscall.EWOULDBLOCK), strings.Contains(err.Error(), "Another process is using"):
		return nil, errLocked
	}
	if strings.Contains(err.Error(), badger.ErrTruncateNeeded.Error()) {
		return nil, errors.New("its program died before it closed it: open it once with Badger, for writing, and close it")
	}
	if strings.Contains(strings.ToLower(err.Error()), "checksum") {
		return nil, damaged("%v", err)
	}
	return nil, err
}

// checkManifest refuses a directory that has tables which its MANIFEST doesn't name. Badger takes them for leftovers and removes
// them, also where it is opened for reading; but a MANIFEST that was cut names fewer than there are.
func checkManifest(opts badger.Options) error {
	file, err := os.Open(filepath.Join(opts.Dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the directory holds no Badger database: it has no MANIFEST")
	}
	if err != nil {
		return err
	}
	defer file.Close()
	manifest, end, err := badger.ReplayManifestFile(file, 0, opts)
	if err != nil {
		return damaged("MANIFEST: %v", err)
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if end != info.Size() {
		return damaged("MANIFEST has %d bytes, of which %d can be read", info.Size(), end)
	}
	tables, err := filepath.Glob(filepath.Join(opts.Dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, table := range tables {
		name := filepath.Base(table)
		number, err := strconv.ParseUint(strings.TrimSuffix(name, ".sst"), 10, 64)
		if _, named := manifest.Tables[number]; err != nil || !named {
			return damaged("MANIFEST doesn't name the table %s, which Badger would remove", name)
		}
	}
	return nil
}

// each reads values in this goroutine: those that Badger reads ahead, it reads in others, where a fault can't be caught.
func (s *badgerSource) each(visit func(pair) error) error {
	return s.db.View(func(txn *badger.Txn) error {
		items := txn.NewIterator(badger.IteratorOptions{PrefetchValues: false})
		defer items.Close()
		for items.Rewind(); items.Valid(); items.Next() {
			if err := s.visit(items.Item(), visit); err != nil {
				return err
			}
		}
		return nil
	})
}

// visit takes an error of Badger's for damage, and one of visit's as it is.
func (s *badgerSource) visit(item *badger.Item, visit func(pair) error) error {
	p := pair{key: item.Key()}
	if seconds := item.ExpiresAt(); seconds > 0 {
		p.deadline = time.Unix(int64(min(seconds, 1<<62)), 0)
	}
	if item.UserMeta() != 0 {
		s.metas++
	}
	err := item.Value(func(value []byte) error {
		p.value = append([]byte(nil), value...)
		return nil
	})
	if err = errors.Join(err, s.errors.err()); err != nil {
		return damaged("the value of key %.40q: %v", item.Key(), err)
	}
	return visit(p)
}

func (s *badgerSource) notes() []string {
	if s.metas == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d pairs had a user meta byte, which was left out", s.metas)}
}

func (s *badgerSource) Close() error { return s.db.Close() }
