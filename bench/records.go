package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// appendRecords measures appends to a log. Records differ in their first bytes only, so that making them costs nothing.
func appendRecords(r *run) (err error) {
	log, err := r.peer.OpenLog(r.Dir, r.workload.settings())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return r.drive(appendFresh(log))
}

func appendFresh(log Log) operation {
	return func(w *worker) (int, error) {
		binary.LittleEndian.PutUint64(w.value, w.fresh())
		return 1, log.Append(w.value)
	}
}

// readRecords measures opening a log and reading all of it. What it reads was written and closed by the same process.
func readRecords(r *run) error {
	count := max(1, int(r.Pairs)*logBytesPerPair/4/r.workload.record)
	if err := r.writeLog(count); err != nil {
		return err
	}
	liveHeap()
	read := 0
	started := time.Now()
	log, err := r.peer.OpenLog(r.Dir, r.workload.settings())
	if err != nil {
		return err
	}
	err = log.ReadAll(func(record []byte) {
		read += len(record)
		for i := 0; i < len(record); i += 64 {
			r.seen += uint64(record[i])
		}
	})
	elapsed := time.Since(started)
	r.result.HeapBytes = liveHeap()
	if want := count * r.workload.record; err == nil && read != want {
		err = fmt.Errorf("%d of %d bytes read", read, want)
	}
	r.result.Figure = float64(read) / 1e6 / elapsed.Seconds()
	r.result.Operations, r.result.Seconds = int64(count), elapsed.Seconds()
	return errors.Join(err, log.Close())
}

// writeLog writes the records that readRecords reads, in batches of a megabyte.
func (r *run) writeLog(count int) error {
	log, err := r.peer.OpenLog(r.Dir, r.workload.settings())
	if err != nil {
		return err
	}
	batch := make([][]byte, min(count, max(1, 1<<20/r.workload.record)))
	for i := range batch {
		batch[i] = make([]byte, r.workload.record)
		fill(batch[i], r.Seed+uint64(i))
	}
	for left := count; left > 0 && err == nil; left -= len(batch) {
		batch = batch[:min(left, len(batch))]
		err = log.AppendBatch(batch)
	}
	return errors.Join(err, log.Close())
}
