package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/wal"
)

// The adapter uses little of Walnut's API, so that this program also builds with an older or newer Walnut: see compare.sh.

var walnutPeer = Peer{Name: walnutName, Module: "github.com/walnutkv/walnut", OpenStore: openWalnut, OpenLog: openWalnutLog}

type walnutStore struct{ db *kv.DB }

func walnutSync(mode Mode) wal.SyncMode {
	if mode == Relaxed {
		return wal.SyncNever
	}
	return wal.SyncAlways
}

func openWalnut(dir string, settings Settings) Store {
	options := kv.Options{Sync: walnutSync(settings.Mode)}
	if settings.OnDemand {
		options.CheckpointFactor = -1
	}
	db, err := kv.Open(dir, options)
	check(err)
	return walnutStore{db}
}

func (s walnutStore) Put(key, value []byte) {
	_, err := s.db.Put(key, value)
	check(err)
}

func (s walnutStore) Batch(pairs []Pair) { s.BatchUntil(pairs, time.Time{}) }

func (s walnutStore) BatchUntil(pairs []Pair, deadline time.Time) {
	var batch kv.Batch
	for _, pair := range pairs {
		batch.PutDeadline(pair.Key, pair.Value, deadline)
	}
	_, err := s.db.Apply(&batch)
	check(err)
}

func (s walnutStore) Get(key []byte, use func(value []byte)) bool {
	value, err := s.db.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return false
	}
	check(err)
	use(value)
	return true
}

func (s walnutStore) Scan(start []byte, limit int, visit func(key, value []byte)) {
	for key, value := range s.db.Scan(kv.Range{Start: start, Limit: limit}) {
		visit(key, value)
	}
}

func (s walnutStore) Update(key []byte, change func(old []byte) []byte) {
	check(s.db.Update(func(tx *kv.Tx) error {
		old, err := tx.Get(key)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		return tx.Put(key, change(old))
	}))
}

func (s walnutStore) Pop() (popped bool) {
	check(s.db.Update(func(tx *kv.Tx) error {
		key, _, err := tx.First(kv.Range{})
		if popped = err == nil; !popped {
			if errors.Is(err, kv.ErrNotFound) {
				return nil
			}
			return err
		}
		return tx.Delete(key)
	}))
	return popped
}

func (s walnutStore) Hold() (release func()) {
	view, err := s.db.ReadView()
	check(err)
	return func() { check(view.Close()) }
}

func (s walnutStore) Watch(ctx context.Context, ready func()) {
	commits := s.db.Watch(ctx, kv.WatchOptions{From: s.db.Offset() + 1})
	ready()
	for _, err := range commits {
		if ctx.Err() != nil {
			return
		}
		check(err)
	}
}

func (s walnutStore) Checkpoint() {
	_, err := s.db.Checkpoint(context.Background())
	check(err)
}

func (s walnutStore) Backup(w io.Writer) {
	_, err := s.db.Backup(context.Background(), w)
	check(err)
}

// Count counts what takes memory, expired pairs included.
func (s walnutStore) Count() int {
	stats := s.db.Stats()
	return stats.Keys + stats.Expired
}

func (s walnutStore) Close() { check(s.db.Close()) }

type walnutLog struct {
	log  *wal.Log
	last uint64 // The newest offset, where one goroutine appends.
}

func openWalnutLog(dir string, settings Settings) Log {
	log, err := wal.Open(dir, wal.Options{Sync: walnutSync(settings.Mode)})
	check(err)
	return &walnutLog{log: log}
}

func (l *walnutLog) Append(record []byte) {
	_, err := l.log.Append(record)
	check(err)
}

func (l *walnutLog) AppendBatch(records [][]byte) {
	first, err := l.log.AppendBatch(records)
	check(err)
	l.last = first + uint64(len(records)) - 1
}

func (l *walnutLog) ReadAll(visit func(record []byte)) {
	for record, err := range l.log.Records(1) {
		check(err)
		visit(record.Payload)
	}
}

func (l *walnutLog) Read(number uint64, visit func(record []byte)) {
	record, err := l.log.Read(number)
	check(err)
	visit(record)
}

func (l *walnutLog) CutBack(records uint64) { check(l.log.TruncateBack(l.last - records)) }
func (l *walnutLog) Close()                 { check(l.log.Close()) }
