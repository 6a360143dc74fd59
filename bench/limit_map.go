package main

import "bytes"

// mapLimit is a Go map, without a log and without a lock: two goroutines can't write it.
var mapLimit = Peer{
	Name: "bare-map", Limit: true, Only: "W2/random/1|W4|W8/heap|S",
	OpenStore: func(string, Settings) (Store, error) { return mapStore{pairs: map[string][]byte{}}, nil },
}

type mapStore struct {
	unsupported
	pairs map[string][]byte
}

func (s mapStore) Put(key, value []byte) error {
	s.pairs[string(key)] = bytes.Clone(value)
	return nil
}

func (s mapStore) Batch(pairs []Pair) error { return putAll(pairs, s.Put) }

func (s mapStore) Get(key []byte, use func(value []byte)) error {
	value, found := s.pairs[string(key)]
	if !found {
		return errNotFound
	}
	use(value)
	return nil
}
