package main

import (
	"errors"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

var goleveldbPeer = Peer{Name: "goleveldb", Module: "github.com/syndtr/goleveldb", OpenStore: openGoleveldb}

type goleveldbStore struct {
	db    *leveldb.DB
	write *opt.WriteOptions
	locks *keyLocks
}

func openGoleveldb(dir string, settings Settings) (Store, error) {
	db, err := leveldb.OpenFile(dir, &opt.Options{
		BlockCacheCapacity: cacheBytes,
		WriteBuffer:        64 << 20,
		Filter:             filter.NewBloomFilter(10),
		Compression:        opt.NoCompression,
	})
	if err != nil {
		return nil, err
	}
	write := &opt.WriteOptions{Sync: settings.Mode == Durable}
	return &goleveldbStore{db: db, write: write, locks: newKeyLocks()}, nil
}

func (s *goleveldbStore) Put(key, value []byte) error { return s.db.Put(key, value, s.write) }

func (s *goleveldbStore) Get(key []byte, use func(value []byte)) error {
	value, err := s.db.Get(key, nil)
	return useGoleveldb(value, err, use)
}

func useGoleveldb(value []byte, err error, use func(value []byte)) error {
	if errors.Is(err, leveldb.ErrNotFound) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	use(value)
	return nil
}

func (s *goleveldbStore) Batch(pairs []Pair) error {
	var batch leveldb.Batch
	for _, pair := range pairs {
		batch.Put(pair.Key, pair.Value)
	}
	return s.db.Write(&batch, s.write)
}

func (s *goleveldbStore) Scan(start []byte, limit int, visit func(key, value []byte)) error {
	iterator := s.db.NewIterator(&util.Range{Start: start}, nil)
	defer iterator.Release()
	for visited := 0; (limit == 0 || visited < limit) && iterator.Next(); visited++ {
		visit(iterator.Key(), iterator.Value())
	}
	return iterator.Error()
}

// Update goes by locks of the program's own: goleveldb's transactions shut out every other write.
func (s *goleveldbStore) Update(key []byte, change func(old []byte) []byte) error {
	return s.locks.update(s, key, change)
}

// Sync has to write something: only a write can ask goleveldb for a sync of the journal.
func (s *goleveldbStore) Sync() error {
	return s.db.Delete([]byte("no pair has this key"), &opt.WriteOptions{Sync: true})
}

func (s *goleveldbStore) Hold() (Held, error) {
	snapshot, err := s.db.GetSnapshot()
	return goleveldbHeld{snapshot}, err
}

func (s *goleveldbStore) Close() error { return s.db.Close() }

type goleveldbHeld struct{ *leveldb.Snapshot }

func (h goleveldbHeld) Get(key []byte, use func(value []byte)) error {
	value, err := h.Snapshot.Get(key, nil)
	return useGoleveldb(value, err, use)
}

func (h goleveldbHeld) Close() error {
	h.Release()
	return nil
}
