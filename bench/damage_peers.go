package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/tidwall/buntdb"
	tidwall "github.com/tidwall/wal"
	"go.etcd.io/bbolt"
)

var buntdbEngine = engine{
	name: "buntdb", peer: buntdbPeer, open: openBuntdbDamaged,
	settings: "`SyncPolicy: Always`, `AutoShrinkDisabled` (its README, Durability and fsync).",
	notes: "One file of text, without checksums. A command that the file's end cuts is cut off, which its source calls allowed, and zeros are passed over. It has no logger, and no " +
		"tool that checks or repairs.",
	logs: regexp.MustCompile(`^buntdb\.aof$`), align: 1,
}

func openBuntdbDamaged(dir string, _ func(string)) (kept, error) {
	db, err := buntdb.Open(filepath.Join(dir, "buntdb.aof"))
	if err != nil {
		return kept{}, err
	}
	check(db.SetConfig(buntdb.Config{SyncPolicy: buntdb.Always, AutoShrinkDisabled: true}))
	return keptStore(buntdbStore{db}), nil
}

var bboltEngine = engine{
	name: "bbolt", peer: bboltPeer, open: openBboltDamaged,
	settings: "The defaults: a sync in each commit, and the list of free pages in the file (`bbolt.Options`). `InitialMmapSize` as in the comparison.",
	notes: "One file of pages, in which only the two meta pages have a checksum: damage elsewhere shows where it breaks a page's structure. " +
		"Where the newer meta page is damaged the older one counts, which is how a torn commit is undone. `bbolt check` and `Tx.Check` look at the structure, and " +
		"`bbolt surgery` repairs by hand.",
	logs: regexp.MustCompile(`^bbolt\.db$`), align: int64(os.Getpagesize()), lastWrite: 2 * int64(os.Getpagesize()),
}

func openBboltDamaged(dir string, say func(string)) (kept, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bbolt.db"), 0o600, &bbolt.Options{
		InitialMmapSize: cacheBytes,
		Logger:          &bbolt.DefaultLogger{Logger: log.New(lineWriter{say}, "", 0)},
	})
	if err != nil {
		return kept{}, err
	}
	check(db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bboltBucket)
		return err
	}))
	k := keptStore(bboltStore{db, db.Update})
	k.verify = func() error {
		return db.View(func(tx *bbolt.Tx) (first error) {
			for err := range tx.Check() {
				first = errors.Join(first, err)
			}
			return first
		})
	}
	return k, nil
}

var (
	pebbleEngine = engine{
		name: "Pebble default", peer: pebblePeer, open: pebbleDamaged(pebble.FormatDefault),
		settings: "`pebble.Sync` for each write, and the format that `pebble.Options` has by default; `MemTableSize` of 256 KiB. " + pebbleListener,
		notes: "In this format a wrong checksum in the newest log is its end: the documentation of `FormatWALSyncChunks` says that it is there to tell the two apart. " +
			"`pebble db check` and `DB.CheckLevels` read tables and check their order.",
		logs: regexp.MustCompile(`^\d+\.log$`), tables: regexp.MustCompile(`^\d+\.sst$`), align: 1,
	}
	pebbleNewestEngine = engine{
		name: "Pebble newest", peer: pebblePeer, open: pebbleDamaged(pebble.FormatNewest),
		settings: "`pebble.Sync` and `FormatMajorVersion: FormatNewest`, whose log has sync chunks: the documentation of `FormatWALSyncChunks` " +
			"says that they tell damage from the end of the log. " + pebbleListener,
		notes: "A later block of 32 KiB is what shows the damage: in the last block, and after it, damage looks like the end. Tools as above.",
		logs:  regexp.MustCompile(`^\d+\.log$`), tables: regexp.MustCompile(`^\d+\.sst$`), align: 1,
	}
)

const pebbleListener = "`EventListener.DataCorruption` logs: without it Pebble ends the process when it reads a damaged block."

// pebbleMemtable makes the last log several blocks of 32 KiB long: a later block is what distinguishes damage from the log's end.
const pebbleMemtable = 256 << 10

func pebbleDamaged(format pebble.FormatMajorVersion) func(dir string, say func(string)) (kept, error) {
	return func(dir string, say func(string)) (kept, error) {
		options := &pebble.Options{FormatMajorVersion: format, MemTableSize: pebbleMemtable, Logger: pebbleLogger{say}}
		options.EventListener = &pebble.EventListener{DataCorruption: func(info pebble.DataCorruptionInfo) { say(info.String()) }}
		options.EnsureDefaults()
		for i := range options.Levels {
			options.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		}
		db, err := pebble.Open(dir, options)
		if err != nil {
			return kept{}, err
		}
		k := keptStore(&pebbleStore{db: db, write: pebble.Sync})
		k.verify = func() error { return db.CheckLevels(nil) }
		return k, nil
	}
}

// pebbleLogger says everything. Pebble ends the process after what is fatal.
type pebbleLogger struct{ say func(string) }

func (l pebbleLogger) Infof(format string, args ...any)  { l.say(fmt.Sprintf(format, args...)) }
func (l pebbleLogger) Errorf(format string, args ...any) { l.say(fmt.Sprintf(format, args...)) }
func (l pebbleLogger) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "Logger.Fatalf: "+format+"\n", args...)
	os.Exit(1)
}

var (
	goleveldbEngine = engine{
		name: "goleveldb default", peer: goleveldbPeer, open: goleveldbDamaged(opt.DefaultStrict),
		settings: "`Sync: true` for each write, and the default of `Strict`, which checks every checksum and drops damaged parts of a log.",
		notes:    "What it says goes to the file LOG in its directory. `leveldb.RecoverFile` makes a store of the tables that are left.",
		logs:     regexp.MustCompile(`^\d+\.log$`), tables: regexp.MustCompile(`^\d+\.ldb$`), align: 1,
	}
	goleveldbStrictEngine = engine{
		name: "goleveldb strict", peer: goleveldbPeer, open: goleveldbDamaged(opt.StrictAll),
		settings: "`Sync: true` for each write, and `Strict: opt.StrictAll`, with which damage in a log is an error (`opt.Strict`).",
		notes:    "As above. It takes a torn tail for such damage.",
		logs:     regexp.MustCompile(`^\d+\.log$`), tables: regexp.MustCompile(`^\d+\.ldb$`), align: 1,
	}
)

func goleveldbDamaged(strict opt.Strict) func(dir string, say func(string)) (kept, error) {
	return func(dir string, say func(string)) (kept, error) {
		messages := filepath.Join(dir, "LOG")
		before, _ := os.ReadFile(messages)
		db, err := leveldb.OpenFile(dir, &opt.Options{
			Strict:              strict,
			WriteBuffer:         2 * smallFile,
			CompactionTableSize: smallFile,
			Compression:         opt.NoCompression,
		})
		if after, readErr := os.ReadFile(messages); readErr == nil {
			_, _ = lineWriter{say}.Write(after[min(len(before), len(after)):])
		}
		if err != nil {
			return kept{}, err
		}
		return keptStore(goleveldbStore{db: db, write: &opt.WriteOptions{Sync: true}}), nil
	}
}

var tidwallLogEngine = engine{
	name: "tidwall/wal", peer: tidwallLogPeer, open: openTidwallDamaged,
	settings: "The defaults, which sync each write (`wal.Options`); `SegmentSize` of 32 KiB.",
	notes:    "It has no checksums, no logger, and no tool that checks or repairs.",
	logs:     regexp.MustCompile(`^\d+$`), align: 1,
}

func openTidwallDamaged(dir string, _ func(string)) (kept, error) {
	log, err := tidwall.Open(dir, &tidwall.Options{SegmentSize: smallFile})
	if err != nil {
		return kept{}, err
	}
	last, err := log.LastIndex()
	check(err)
	l := &tidwallLog{log: log, numbering: numbering{last: last}}
	return keptLog(l, &l.last, func(index uint64) []byte {
		record, err := log.Read(index)
		if errors.Is(err, tidwall.ErrNotFound) {
			return nil
		}
		check(err)
		return record
	}), nil
}
