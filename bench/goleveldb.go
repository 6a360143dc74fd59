package main

import (
	"errors"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

var goleveldbPeer = Peer{
	Name: "goleveldb", Module: "github.com/syndtr/goleveldb", OpenStore: openGoleveldb, Only: "W1|W2|W3|W4|W9",
}

type goleveldbStore struct {
	unsupported
	db    *leveldb.DB
	write *opt.WriteOptions
}

func openGoleveldb(dir string, settings Settings) Store {
	db, err := leveldb.OpenFile(dir, &opt.Options{
		BlockCacheCapacity: cacheBytes,
		WriteBuffer:        64 << 20,
		Filter:             filter.NewBloomFilter(10),
		Compression:        opt.NoCompression,
	})
	check(err)
	return goleveldbStore{db: db, write: &opt.WriteOptions{Sync: settings.Mode == Durable}}
}

func (s goleveldbStore) Put(key, value []byte) { check(s.db.Put(key, value, s.write)) }

func (s goleveldbStore) Batch(pairs []Pair) {
	var batch leveldb.Batch
	for _, pair := range pairs {
		batch.Put(pair.Key, pair.Value)
	}
	check(s.db.Write(&batch, s.write))
}

func (s goleveldbStore) Get(key []byte, use func(value []byte)) bool {
	value, err := s.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return false
	}
	check(err)
	use(value)
	return true
}

func (s goleveldbStore) Scan(start []byte, limit int, visit func(key, value []byte)) {
	pairs := s.db.NewIterator(&util.Range{Start: start}, nil)
	defer pairs.Release()
	for visited := 0; (limit == 0 || visited < limit) && pairs.Next(); visited++ {
		visit(pairs.Key(), pairs.Value())
	}
	check(pairs.Error())
}

func (s goleveldbStore) Close() { check(s.db.Close()) }
