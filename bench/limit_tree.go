package main

import (
	"bytes"

	"github.com/google/btree"
)

var treeLimit = Peer{
	Name: "bare-btree", Module: "github.com/google/btree", OpenStore: openTreeLimit, Limit: true,
	Only: []string{"W2", "W4", "W5", "W8/heap", "W11/free/relaxed", "W11/held/relaxed", "S/put", "S/heap", "S/get"},
}

// treeDegree is a middling one; more or less changes little, since the time goes into fetching keys from memory.
const treeDegree = 32

// treeStore is a tree of keys and values with nothing around it: no log, no lock. It can't be written by two.
type treeStore struct{ tree *btree.BTreeG[Pair] }

func openTreeLimit(string, Settings) (Store, error) {
	less := func(a, b Pair) bool { return bytes.Compare(a.Key, b.Key) < 0 }
	return treeStore{btree.NewG(treeDegree, less)}, nil
}

func (s treeStore) Put(key, value []byte) error {
	memory := append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
	s.tree.ReplaceOrInsert(Pair{Key: memory[:len(key):len(key)], Value: memory[len(key):]})
	return nil
}

func (s treeStore) Get(key []byte, use func(value []byte)) error {
	pair, found := s.tree.Get(Pair{Key: key})
	if !found {
		return errNotFound
	}
	use(pair.Value)
	return nil
}

func (s treeStore) Batch(pairs []Pair) error {
	for _, pair := range pairs {
		if err := s.Put(pair.Key, pair.Value); err != nil {
			return err
		}
	}
	return nil
}

func (s treeStore) Scan(start []byte, limit int, visit func(key, value []byte)) error {
	visited := 0
	s.tree.AscendGreaterOrEqual(Pair{Key: start}, func(pair Pair) bool {
		visit(pair.Key, pair.Value)
		visited++
		return visited != limit
	})
	return nil
}

// Hold shares all nodes until one of the two trees changes them.
func (s treeStore) Hold() (Held, error) { return &treeHeld{treeStore{s.tree.Clone()}}, nil }

func (s treeStore) Update(key []byte, change func(old []byte) []byte) error {
	old, _ := s.tree.Get(Pair{Key: key})
	return s.Put(key, change(old.Value))
}

func (s treeStore) Sync() error  { return nil }
func (s treeStore) Close() error { return nil }

type treeHeld struct{ treeStore }

func (h *treeHeld) Close() error {
	h.tree = nil
	return nil
}
