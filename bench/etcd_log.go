//go:build !fewpeers

package main

import (
	"path/filepath"

	etcdwal "go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

var etcdLogPeer = Peer{Name: "etcd-wal", Module: "go.etcd.io/etcd/server/v3", OpenLog: openEtcdLog}

// etcdLog must be read to its end after it was opened again, before the first append.
type etcdLog struct {
	log *etcdwal.WAL
	numbering
}

// etcdDir is a directory that etcd makes itself.
func etcdDir(dir string) string { return filepath.Join(dir, "etcd") }

// openEtcdLog leaves out the fsync in the relaxed mode, not the write.
func openEtcdLog(dir string, settings Settings) Log {
	var log *etcdwal.WAL
	var err error
	if dir = etcdDir(dir); etcdwal.Exist(dir) {
		log, err = etcdwal.Open(zap.NewNop(), dir, &walpb.Snapshot{})
	} else {
		log, err = etcdwal.Create(zap.NewNop(), dir, nil)
	}
	check(err)
	if settings.Mode == Relaxed {
		log.SetUnsafeNoFsync()
	}
	return &etcdLog{log: log}
}

func (l *etcdLog) Append(record []byte) { l.AppendBatch([][]byte{record}) }

func (l *etcdLog) AppendBatch(records [][]byte) {
	l.add(len(records), func(first uint64) error {
		entries := make([]*raftpb.Entry, len(records))
		for i, record := range records {
			entries[i] = &raftpb.Entry{Term: new(uint64(1)), Index: new(first + uint64(i)), Data: record}
		}
		return l.log.Save(nil, entries)
	})
}

func (l *etcdLog) ReadAll(visit func(record []byte)) {
	_, _, entries, err := l.log.ReadAll()
	check(err)
	for _, entry := range entries {
		visit(entry.Data)
	}
	l.last = uint64(len(entries))
}

func (l *etcdLog) Close() { check(l.log.Close()) }
