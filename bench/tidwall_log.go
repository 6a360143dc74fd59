package main

import tidwall "github.com/tidwall/wal"

var tidwallLogPeer = Peer{
	Name: "tidwall-wal", Module: "github.com/tidwall/wal", OpenLog: openTidwallLog,
	Weaker: map[Mode]string{
		Durable: "no checksum: damage is read as data", Relaxed: "no checksum: damage is read as data",
	},
}

type tidwallLog struct {
	log *tidwall.Log
	numbering
}

func openTidwallLog(dir string, settings Settings) Log {
	log, err := tidwall.Open(dir, &tidwall.Options{NoSync: settings.Mode == Relaxed, NoCopy: true})
	check(err)
	last, err := log.LastIndex()
	check(err)
	return &tidwallLog{log: log, numbering: numbering{last: last}}
}

func (l *tidwallLog) Append(record []byte) { l.AppendBatch([][]byte{record}) }

func (l *tidwallLog) AppendBatch(records [][]byte) {
	l.add(len(records), func(first uint64) error {
		var batch tidwall.Batch
		for i, record := range records {
			batch.Write(first+uint64(i), record)
		}
		return l.log.WriteBatch(&batch)
	})
}

func (l *tidwallLog) ReadAll(visit func(record []byte)) {
	for index := uint64(1); index <= l.last; index++ {
		record, err := l.log.Read(index)
		check(err)
		visit(record)
	}
}

func (l *tidwallLog) Close() { check(l.log.Close()) }
