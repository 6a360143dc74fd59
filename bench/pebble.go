package main

import (
	"bytes"
	"errors"
	"hash/maphash"
	"runtime"
	"sync"

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
	seed  maphash.Seed
	locks [1024]sync.Mutex // For Update, by key.

	popping sync.Mutex
	popped  []byte // After the last key that Pop took. Guarded by popping.
}

// openPebble takes the sizes of Pebble's own benchmark tool, and leaves compression out, since values are incompressible.
func openPebble(dir string, settings Settings) Store {
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
	check(err)
	write := pebble.NoSync
	if settings.Mode == Durable {
		write = pebble.Sync
	}
	return &pebbleStore{db: db, write: write, seed: maphash.MakeSeed()}
}

func (s *pebbleStore) Put(key, value []byte) { check(s.db.Set(key, value, s.write)) }

func (s *pebbleStore) Batch(pairs []Pair) {
	batch := s.db.NewBatch()
	for _, pair := range pairs {
		check(batch.Set(pair.Key, pair.Value, nil))
	}
	check(batch.Commit(s.write))
	check(batch.Close())
}

func (s *pebbleStore) Get(key []byte, use func(value []byte)) bool {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false
	}
	check(err)
	use(value)
	check(closer.Close())
	return true
}

func (s *pebbleStore) Scan(start []byte, limit int, visit func(key, value []byte)) {
	iterator, err := s.db.NewIter(&pebble.IterOptions{LowerBound: start})
	check(err)
	visited := 0
	for ok := iterator.First(); ok && (limit == 0 || visited < limit); ok = iterator.Next() {
		visit(iterator.Key(), iterator.Value())
		visited++
	}
	check(errors.Join(iterator.Error(), iterator.Close()))
}

// Update takes locks as a careful program would: Pebble has no transactions. Several keys share a lock.
func (s *pebbleStore) Update(key []byte, change func(old []byte) []byte) {
	lock := &s.locks[maphash.Bytes(s.seed, key)%uint64(len(s.locks))]
	lock.Lock()
	defer lock.Unlock()
	var old []byte
	s.Get(key, func(value []byte) { old = bytes.Clone(value) })
	s.Put(key, change(old))
}

// Pop takes the first pair under a lock and deletes it without, so that deletes share syncs. It looks from the last one that it took,
// as a queue on Pebble must: what was deleted before stays in the way of a look from the start until it is compacted.
func (s *pebbleStore) Pop() (popped bool) {
	s.popping.Lock()
	iterator, err := s.db.NewIter(&pebble.IterOptions{LowerBound: s.popped})
	check(err)
	if popped = iterator.First(); popped {
		s.popped = append(bytes.Clone(iterator.Key()), 0)
	}
	key := s.popped
	check(errors.Join(iterator.Error(), iterator.Close()))
	s.popping.Unlock()
	if popped {
		check(s.db.Delete(key[:len(key)-1], s.write))
	}
	return popped
}

func (s *pebbleStore) Close() { check(s.db.Close()) }

// silent is a logger that writes nothing but what ends the process.
type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { fatal(format, args...) }
