package main

import (
	"bytes"
	"errors"
	"hash/maphash"
	"sync"
)

// keyLocks lets a program read, change and write one key without another doing so in between, on a store that has no
// transactions: it is what a careful program puts on top of such a store. Keys share a lock now and then.
type keyLocks struct {
	seed  maphash.Seed
	locks [1024]sync.Mutex
}

func newKeyLocks() *keyLocks { return &keyLocks{seed: maphash.MakeSeed()} }

// update is Store.Update by way of the store's Get and Put.
func (l *keyLocks) update(store Store, key []byte, change func(old []byte) []byte) error {
	lock := &l.locks[maphash.Bytes(l.seed, key)%uint64(len(l.locks))]
	lock.Lock()
	defer lock.Unlock()
	var old []byte
	err := store.Get(key, func(value []byte) { old = bytes.Clone(value) })
	if err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	return store.Put(key, change(old))
}
