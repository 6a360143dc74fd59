package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// setup is what a workload starts from. The zero value is an empty directory.
type setup struct {
	name string
	// prepare fills the directory, in its own process and once for all rounds; nil leaves it empty. Each measurement gets a
	// copy.
	prepare func(r *run)
	opened  bool // The store or log is open when the measurement begins,
	load    bool // and the measuring process has loaded the data set into it.
	warm    bool // Operations are warmed up.
}

var (
	empty     = setup{opened: true}
	loaded    = setup{name: "loaded", opened: true, load: true, warm: true}
	copied    = setup{name: "loaded", prepare: prepareLoaded, opened: true, warm: true} // Instead of loaded, for peers with pages.
	restarted = setup{name: "restarted", prepare: prepareLoaded, opened: true, warm: true}

	atSnapshot = setup{name: "snapshot", prepare: func(r *run) { r.prepareFilled(); r.checkpoint(); r.close() }}
	atLog      = setup{name: "log", prepare: func(r *run) { r.prepareFilled(); r.close() }}
	atKill     = setup{name: "kill", prepare: func(r *run) { r.prepareFilled(); r.sync() }} // It ends without a close.
	atDefault  = setup{name: "default", prepare: func(r *run) { r.prepareFilled(); r.close() }}
)

// prepareLoaded leaves a store with the data set, and with a checkpoint if it takes one on demand.
func prepareLoaded(r *run) {
	r.open(Settings{Mode: Relaxed, Writers: 1})
	r.load()
	r.checkpoint()
	r.close()
}

// prepareFilled opens a store and fills it by one commit a pair.
func (r *run) prepareFilled() {
	r.open(Settings{Mode: Relaxed, Writers: 1, OnDemand: r.workload.onDemand})
	r.fill()
}

// fill puts the data set, one commit a pair.
func (r *run) fill() {
	w := r.workers(1)[0]
	for range r.data.pairs {
		putFresh(w)
	}
}

// checkpoint takes one if the store does so on demand.
func (r *run) checkpoint() {
	if checkpointer, can := r.store.(Checkpointer); can {
		checkpointer.Checkpoint()
	}
}

// The most pairs, and bytes of them, in a commit when a store is loaded.
const (
	loadBatch      = 1000
	loadBatchBytes = 1 << 20
)

// load puts the data set in batches. What that leaves, garbage and unwritten pages, doesn't count for what follows.
func (r *run) load() {
	r.inBatches(r.workers(1)[0], r.store.Batch)
	runtime.GC()
	r.sync()
}

// inBatches puts the data set, or as many other pairs where the worker has put some.
func (r *run) inBatches(w *worker, put func(pairs []Pair)) {
	most := min(loadBatch, max(1, uint64(loadBatchBytes/(r.data.keySize()+r.data.valueBytes))))
	for left := r.data.pairs; left > 0; left -= min(left, most) {
		put(w.freshBatch(int(min(left, most))))
	}
}

// sync makes durable what the store has written, and returns the size of its files.
func (r *run) sync() int64 {
	size, err := syncFiles(r.Dir)
	check(err)
	return size
}

// syncFiles syncs every file in a directory, and returns how long they are together. A file that a store removes meanwhile is
// left out.
func syncFiles(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var file *os.File
			if file, err = os.Open(name); err == nil {
				end, seekErr := file.Seek(0, io.SeekEnd)
				size += end
				err = errors.Join(seekErr, file.Sync(), file.Close())
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return size, err
}
