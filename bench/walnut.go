package main

import (
	"context"
	"errors"
	"io"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/wal"
)

// The adapter uses little of Walnut's API, so that this program also builds with an older or newer Walnut: see compare.sh.

var walnutPeer = Peer{Name: walnutName, Module: "github.com/walnutkv/walnut", OpenStore: openWalnut, OpenLog: openWalnutLog}

type walnutStore struct{ *kv.DB }

func walnutSync(mode Mode) wal.SyncMode {
	if mode == Relaxed {
		return wal.SyncNever
	}
	return wal.SyncAlways
}

func openWalnut(dir string, settings Settings) (Store, error) {
	options := kv.Options{Sync: walnutSync(settings.Mode)}
	if settings.OnDemand {
		options.CheckpointFactor = -1
	}
	db, err := kv.Open(dir, options)
	return &walnutStore{db}, err
}

func (s *walnutStore) Put(key, value []byte) error {
	_, err := s.DB.Put(key, value)
	return err
}

func (s *walnutStore) Get(key []byte, use func(value []byte)) error {
	value, err := s.DB.Get(key)
	if err == nil {
		use(value)
	}
	return notFound(err, kv.ErrNotFound)
}

func (s *walnutStore) Batch(pairs []Pair) error {
	var batch kv.Batch
	for _, pair := range pairs {
		batch.Put(pair.Key, pair.Value)
	}
	_, err := s.Apply(&batch)
	return err
}

func (s *walnutStore) Scan(start []byte, limit int, visit func(key, value []byte)) error {
	for key, value := range s.DB.Scan(kv.Range{Start: start, Limit: limit}) {
		visit(key, value)
	}
	return nil
}

func (s *walnutStore) Update(key []byte, change func(old []byte) []byte) error {
	return s.DB.Update(func(tx *kv.Tx) error {
		old, err := tx.Get(key)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		return tx.Put(key, change(old))
	})
}

func (s *walnutStore) Checkpoint() error {
	_, err := s.DB.Checkpoint(context.Background())
	return err
}

func (s *walnutStore) Backup(w io.Writer) error {
	_, err := s.DB.Backup(context.Background(), w)
	return err
}

type walnutLog struct {
	log  *wal.Log
	last uint64 // The newest offset, where one goroutine appends.
}

func openWalnutLog(dir string, settings Settings) (Log, error) {
	log, err := wal.Open(dir, wal.Options{Sync: walnutSync(settings.Mode)})
	return &walnutLog{log: log}, err
}

func (l *walnutLog) Append(record []byte) error {
	_, err := l.log.Append(record)
	return err
}

func (l *walnutLog) AppendBatch(records [][]byte) error {
	first, err := l.log.AppendBatch(records)
	l.last = first + uint64(len(records)) - 1
	return err
}

func (l *walnutLog) ReadAll(visit func(record []byte)) error {
	for record, err := range l.log.Records(1) {
		if err != nil {
			return err
		}
		visit(record.Payload)
	}
	return nil
}

func (l *walnutLog) CutBack(records uint64) error { return l.log.TruncateBack(l.last - records) }
func (l *walnutLog) Close() error                 { return l.log.Close() }
