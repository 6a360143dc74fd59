package main

import (
	"errors"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
)

var pebblePeer = Peer{
	Name: "pebble", Module: "github.com/cockroachdb/pebble/v2", OpenStore: openPebble,
	Weaker: map[Mode]string{Relaxed: "commits stay in the process's memory for a while, so kill -9 loses them (NoSync)"},
}

type pebbleStore struct {
	db    *pebble.DB
	write *pebble.WriteOptions
	locks *keyLocks
}

// openPebble takes the sizes that Pebble's own benchmark tool uses, and leaves compression out, since values are
// incompressible.
func openPebble(dir string, settings Settings) (Store, error) {
	options := &pebble.Options{
		CacheSize:                   cacheBytes,
		FormatMajorVersion:          pebble.FormatNewest,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(2, runtime.GOMAXPROCS(0)) },
		Logger:                      silent{},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		options.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, err
	}
	write := pebble.NoSync
	if settings.Mode == Durable {
		write = pebble.Sync
	}
	return &pebbleStore{db: db, write: write, locks: newKeyLocks()}, nil
}

func (s *pebbleStore) Put(key, value []byte) error { return s.db.Set(key, value, s.write) }

func (s *pebbleStore) Get(key []byte, use func(value []byte)) error { return usePebble(s.db, key, use) }

func usePebble(from pebble.Reader, key []byte, use func(value []byte)) error {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	use(value)
	return closer.Close()
}

func (s *pebbleStore) Batch(pairs []Pair) error {
	batch := s.db.NewBatch()
	defer batch.Close()
	for _, pair := range pairs {
		if err := batch.Set(pair.Key, pair.Value, nil); err != nil {
			return err
		}
	}
	return batch.Commit(s.write)
}

func (s *pebbleStore) Scan(start []byte, limit int, visit func(key, value []byte)) error {
	options := &pebble.IterOptions{}
	if len(start) > 0 {
		options.LowerBound = start
	}
	iterator, err := s.db.NewIter(options)
	if err != nil {
		return err
	}
	visited := 0
	for ok := iterator.First(); ok && (limit == 0 || visited < limit); ok = iterator.Next() {
		visit(iterator.Key(), iterator.Value())
		visited++
	}
	return errors.Join(iterator.Error(), iterator.Close())
}

// Update goes by locks of the program's own: Pebble has no transactions.
func (s *pebbleStore) Update(key []byte, change func(old []byte) []byte) error {
	return s.locks.update(s, key, change)
}

func (s *pebbleStore) Hold() (Held, error) { return pebbleHeld{s.db.NewSnapshot()}, nil }

func (s *pebbleStore) Sync() error  { return s.db.LogData(nil, pebble.Sync) }
func (s *pebbleStore) Close() error { return s.db.Close() }

type pebbleHeld struct{ *pebble.Snapshot }

func (h pebbleHeld) Get(key []byte, use func(value []byte)) error {
	return usePebble(h.Snapshot, key, use)
}

// silent is a logger of nothing, but for what ends the process.
type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { fatal(format, args...) }
