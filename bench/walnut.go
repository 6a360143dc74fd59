package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/wal"
)

var walnutPeer = Peer{Name: walnutName, Module: "github.com/walnutkv/walnut", OpenStore: openWalnut, OpenLog: openWalnutLog}

type walnutStore struct{ db *kv.DB }

func walnutSync(mode Mode) kv.SyncMode {
	if mode == Durable {
		return kv.SyncAlways
	}
	return kv.SyncNever
}

func openWalnut(dir string, settings Settings) (Store, error) {
	options := kv.Options{Sync: walnutSync(settings.Mode)}
	if settings.OnDemand {
		options.CheckpointFactor = -1
	}
	db, err := kv.Open(dir, options)
	if err != nil {
		return nil, err
	}
	return &walnutStore{db}, nil
}

func (s *walnutStore) Put(key, value []byte) error {
	_, err := s.db.Put(key, value)
	return err
}

func (s *walnutStore) Get(key []byte, use func(value []byte)) error {
	value, err := s.db.Get(key)
	return useWalnut(value, err, use)
}

func useWalnut(value []byte, err error, use func(value []byte)) error {
	if errors.Is(err, kv.ErrNotFound) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	use(value)
	return nil
}

func (s *walnutStore) Batch(pairs []Pair) error {
	var batch kv.Batch
	for _, pair := range pairs {
		batch.Put(pair.Key, pair.Value)
	}
	_, err := s.db.Apply(&batch)
	return err
}

func (s *walnutStore) Scan(start []byte, limit int, visit func(key, value []byte)) error {
	for key, value := range s.db.Scan(kv.Range{Start: start, Limit: limit}) {
		visit(key, value)
	}
	return nil
}

func (s *walnutStore) Update(key []byte, change func(old []byte) []byte) error {
	return s.db.Update(func(tx *kv.Tx) error {
		old, err := tx.Get(key)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		return tx.Put(key, change(old))
	})
}

func (s *walnutStore) Hold() (Held, error) {
	snapshot, err := s.db.Snapshot()
	return walnutHeld{snapshot}, err
}

func (s *walnutStore) Checkpoint() error {
	_, err := s.db.Checkpoint(context.Background())
	return err
}

func (s *walnutStore) LongestClone() time.Duration { return s.db.Stats().CloneLatency.Max }

func (s *walnutStore) Backup(w io.Writer) error {
	_, err := s.db.Backup(context.Background(), w)
	return err
}

func (s *walnutStore) Sync() error  { return s.db.Sync() }
func (s *walnutStore) Close() error { return s.db.Close() }

type walnutHeld struct{ *kv.Snapshot }

func (h walnutHeld) Get(key []byte, use func(value []byte)) error {
	value, err := h.Snapshot.Get(key)
	return useWalnut(value, err, use)
}

type walnutLog struct{ log *wal.Log }

func openWalnutLog(dir string, settings Settings) (Log, error) {
	log, err := wal.Open(dir, wal.Options{Sync: walnutSync(settings.Mode)})
	if err != nil {
		return nil, err
	}
	return walnutLog{log}, nil
}

func (l walnutLog) Append(record []byte) error {
	_, err := l.log.Append(record)
	return err
}

func (l walnutLog) AppendBatch(records [][]byte) error {
	_, err := l.log.AppendBatch(records)
	return err
}

func (l walnutLog) ReadAll(visit func(record []byte)) error {
	for record, err := range l.log.Records(l.log.First()) {
		if err != nil {
			return err
		}
		visit(record.Payload)
	}
	return nil
}

func (l walnutLog) Close() error { return l.log.Close() }
