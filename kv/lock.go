package kv

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/walnutkv/walnut/internal/vfs"
)

// lockTries is how often a caller yields and tries again before it queues for mu. Most commits and most functions of an
// Update are over by then. A sync.Mutex wakes one of its waiters and lets running goroutines overtake it: with more
// goroutines than processors the same waiter may lose again and again, for 60 to 100 ms, while goroutines that yield take
// turns. With 16 writers on 2 processors the longest put took a third of the time, at the same rate. More tries cost rate.
const lockTries = 2

// acquire takes mu, and gives up when ctx is done. The error is ctx's.
func (db *DB) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if db.mu.TryLock() {
		return nil
	}
	for range lockTries {
		runtime.Gosched()
		if db.mu.TryLock() {
			return nil
		}
	}
	if ctx.Done() == nil {
		db.mu.Lock()
		return nil
	}
	// A mutex can't be waited for with a context, so a goroutine waits, and unlocks again if ctx ends first.
	locked := make(chan struct{})
	go func() {
		db.mu.Lock()
		select {
		case locked <- struct{}{}:
		case <-ctx.Done():
			db.mu.Unlock()
		}
	}()
	select {
	case <-locked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// requireLock fails the store if its lock is lost. Then the names in its directory may stand for another store's files.
func (db *DB) requireLock() error {
	err := db.lock.Held()
	if !errors.Is(err, vfs.ErrLockLost) {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	return db.failed
}
