package main

import "bytes"

// mapLimit is a Go map, without a log and without a lock: two goroutines can't write it.
var mapLimit = Peer{
	Name: "bare-map", Limit: true, Only: "W2/random/1|W4|W8/heap|S",
	OpenStore: func(string, Settings) Store { return mapStore{pairs: map[string][]byte{}} },
}

type mapStore struct {
	unsupported
	pairs map[string][]byte
}

func (s mapStore) Put(key, value []byte) { s.pairs[string(key)] = bytes.Clone(value) }

func (s mapStore) Batch(pairs []Pair) {
	for _, pair := range pairs {
		s.Put(pair.Key, pair.Value)
	}
}

func (s mapStore) Get(key []byte, use func(value []byte)) bool {
	value, found := s.pairs[string(key)]
	if found {
		use(value)
	}
	return found
}

func (s mapStore) Close() {}
