//go:build !fewpeers

package main

import (
	"errors"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
)

var raftwalLogPeer = Peer{
	Name: "raft-wal", Module: "github.com/hashicorp/raft-wal", OpenLog: openRaftwalLog,
	Only: "L1|L3|L5", // It syncs every append.
}

type raftwalLog struct {
	log  *raftwal.WAL
	meta *metadb.BoltMetaDB // The log's Close leaves it open, and the lock on its file with it.
	numbering
}

func openRaftwalLog(dir string, _ Settings) Log {
	meta := &metadb.BoltMetaDB{}
	log, err := raftwal.Open(dir, raftwal.WithLogger(hclog.NewNullLogger()), raftwal.WithMetaStore(meta))
	check(err)
	last, err := log.LastIndex()
	check(err)
	return &raftwalLog{log: log, meta: meta, numbering: numbering{last: last}}
}

func (l *raftwalLog) Append(record []byte) { l.AppendBatch([][]byte{record}) }

func (l *raftwalLog) AppendBatch(records [][]byte) {
	l.add(len(records), func(first uint64) error {
		logs := make([]*raft.Log, len(records))
		for i, record := range records {
			logs[i] = &raft.Log{Index: first + uint64(i), Data: record}
		}
		return l.log.StoreLogs(logs)
	})
}

func (l *raftwalLog) ReadAll(visit func(record []byte)) {
	var log raft.Log
	for index := uint64(1); index <= l.last; index++ {
		check(l.log.GetLog(index, &log))
		visit(log.Data)
	}
}

func (l *raftwalLog) Read(number uint64, visit func(record []byte)) {
	var log raft.Log
	check(l.log.GetLog(number, &log))
	visit(log.Data)
}

func (l *raftwalLog) Close() { check(errors.Join(l.log.Close(), l.meta.Close())) }
