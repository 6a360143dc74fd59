package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Backuper is a Store that writes all pairs of one instant to a stream while it goes on.
type Backuper interface {
	Store
	Backup(w io.Writer) error
}

// backupers are the peers whose stores are Backupers.
var backupers = []string{walnutName, "buntdb", "bbolt", "badger"}

// backUp measures a backup to a file, synced, of a store that does nothing else, and then another one beside a goroutine
// that overwrites pairs and whose every put is timed.
func backUp(r *run) error {
	return r.onLoaded(func(store Store) error {
		backuper, can := store.(Backuper)
		if !can {
			return fmt.Errorf("a backup: %w", errUnsupported)
		}
		if err := store.Sync(); err != nil { // What loading left to write is not the backup's.
			return err
		}
		alone, size, err := r.backUpOnce(backuper)
		if err != nil {
			return err
		}
		r.result.Figure = alone.Seconds()
		r.more("file MB", float64(size)/1e6)
		if err := r.backUpBeside(backuper); err != nil {
			return err
		}
		r.result.HeapBytes = liveHeap()
		return nil
	})
}

// backUpBeside makes a backup while a goroutine overwrites pairs.
func (r *run) backUpBeside(store Backuper) error {
	writer := newWorker(r.data, 0, 1)
	ctx, stop := context.WithCancel(context.Background())
	var puts *tally
	var putErr error
	var writing sync.WaitGroup
	writing.Go(func() { puts, putErr = drive([]*worker{writer}, overwrite(store), bounds{ctx: ctx}) })
	beside, _, err := r.backUpOnce(store)
	stop()
	writing.Wait()
	if err = errors.Join(err, putErr); err != nil {
		return err
	}
	r.more("s beside a writer", beside.Seconds())
	r.more("its puts/s", rate(operationsRate, puts, 0))
	r.more("its p99.9 µs", microseconds(puts.latency.quantile(0.999)))
	r.more("its worst put ms", microseconds(puts.latency.max)/1000)
	return nil
}

// backUpOnce writes a backup to a file, which is removed afterwards.
func (r *run) backUpOnce(store Backuper) (elapsed time.Duration, size int64, err error) {
	name := filepath.Join(r.Dir, "backup")
	file, err := os.Create(name)
	if err != nil {
		return 0, 0, err
	}
	started := time.Now()
	err = store.Backup(file)
	if err == nil {
		err = file.Sync()
	}
	elapsed = time.Since(started)
	if info, infoErr := file.Stat(); infoErr == nil {
		size = info.Size()
	}
	return elapsed, size, errors.Join(err, file.Close(), os.Remove(name))
}

func backupWorkloads() []Workload {
	return at(Workload{
		Name: "W10/backup", About: "a backup of the data set to a file, which is synced",
		Mode: Relaxed, Unit: seconds, Only: backupers, loaded: true, measure: backUp,
	}, 1)
}
