//go:build !fewpeers

package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	etcdwal "go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func init() { moreEngines = []engine{badgerEngine, etcdLogEngine} }

var badgerEngine = engine{
	name: "Badger", peer: badgerPeer, open: openBadgerDamaged,
	settings: "`WithSyncWrites(true)`, `WithChecksumVerificationMode(OnTableAndBlockRead)`, `WithVerifyValueChecksum(true)` (`badger.Options`).",
	notes: "Opening checks every table, and so does `DB.VerifyChecksum`. The replay of a memtable's log ends at the first entry that doesn't check out, and " +
		"cuts the file there.",
	logs: regexp.MustCompile(`^\d+\.mem$`), tables: regexp.MustCompile(`^\d+\.sst$`), align: 1,
}

func openBadgerDamaged(dir string, say func(string)) (kept, error) {
	db, err := badger.Open(badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithChecksumVerificationMode(options.OnTableAndBlockRead).
		WithVerifyValueChecksum(true).
		WithMemTableSize(2 * smallFile).
		WithBaseTableSize(smallFile).
		WithValueThreshold(1 << 10).
		WithValueLogFileSize(1 << 20).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithMetricsEnabled(false).
		WithLogger(badgerLogger{say}))
	if err != nil {
		return kept{}, err
	}
	k := keptStore(badgerStore{db: db})
	k.verify = db.VerifyChecksum
	return k, nil
}

// badgerLogger says what is at least a note for operators.
type badgerLogger struct{ say func(string) }

func (l badgerLogger) Errorf(format string, args ...any)   { l.say(fmt.Sprintf(format, args...)) }
func (l badgerLogger) Warningf(format string, args ...any) { l.say(fmt.Sprintf(format, args...)) }
func (l badgerLogger) Infof(format string, args ...any)    { l.say(fmt.Sprintf(format, args...)) }
func (l badgerLogger) Debugf(string, ...any)               {}

var etcdLogEngine = engine{
	name: "etcd's wal", peer: etcdLogPeer, open: openEtcdDamaged,
	settings: "`Save` syncs each entry. Opened as etcd's server does it: `Open` and `ReadAll`, and after `io.ErrUnexpectedEOF` once more after `wal.Repair` " +
		"(server/etcdserver/bootstrap.go). `wal.SegmentSizeBytes` of 32 KiB.",
	notes: "`ReadAll` reads everything. `wal.Repair` cuts the last file, and keeps a copy of it as it was. It takes a record with a wrong checksum for a torn " +
		"one where a whole sector of 512 bytes in it is zero, since it expects disks to write sectors whole (`isTornEntry` in its decoder.go).",
	logs: regexp.MustCompile(`^etcd/[0-9a-f]+-[0-9a-f]+\.wal$`), align: 8,
}

func openEtcdDamaged(dir string, say func(string)) (kept, error) {
	etcdwal.SegmentSizeBytes = smallFile
	logger := zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "message"}),
		zapcore.AddSync(lineWriter{say}), zapcore.InfoLevel))
	log, entries, err := readEtcd(logger, dir)
	if errors.Is(err, io.ErrUnexpectedEOF) && etcdwal.Repair(logger, etcdDir(dir)) {
		say("wal.Repair was called after: " + err.Error())
		log, entries, err = readEtcd(logger, dir)
	}
	if err != nil {
		return kept{}, err
	}
	l := &etcdLog{log: log, numbering: numbering{last: uint64(len(entries))}}
	return keptLog(l, &l.last, func(index uint64) []byte {
		if index > uint64(len(entries)) {
			return nil
		}
		return entries[index-1].GetData()
	}), nil
}

// readEtcd opens the log, makes it if there is none, and reads all of it.
func readEtcd(logger *zap.Logger, dir string) (*etcdwal.WAL, []*raftpb.Entry, error) {
	if dir = etcdDir(dir); !etcdwal.Exist(dir) {
		log, err := etcdwal.Create(logger, dir, nil)
		return log, nil, err
	}
	log, err := etcdwal.Open(logger, dir, &walpb.Snapshot{})
	if err != nil {
		return nil, nil, err
	}
	_, _, entries, err := log.ReadAll()
	if err != nil {
		err = errors.Join(err, log.Close())
	}
	return log, entries, err
}
