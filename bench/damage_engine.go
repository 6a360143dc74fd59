package main

import (
	"bytes"
	"log/slog"
	"regexp"
	"slices"
)

// engine is a store or a log whose files are damaged. Its settings are the safest that its documentation has; its files are
// small, so that there are several of them.
type engine struct {
	name     string
	peer     Peer
	settings string // What is set, and what says so. In Markdown, as notes are.
	notes    string
	open     func(dir string, say func(message string)) (kept, error)
	// logs and tables match the paths of files in the directory; tables is nil where there are none.
	logs, tables *regexp.Regexp
	// The data in a log ends after the last byte that isn't zero, at a multiple of align.
	align int64
	// lastWrite is the length of the beginning of the file in which the last write of a commit is; 0 is all of it.
	lastWrite int64
	// tool asks the engine's own tool about a directory that wasn't opened, and returns what it says; nil where the page doesn't.
	tool func(program, dir string) string
}

// kept is an open store or log. Its functions end in fail at an error, which a look catches.
type kept struct {
	// put writes pair i, and returns under which number get finds it.
	put func(i uint64, pair Pair) uint64
	// get reads pair i, nil where it is missing.
	get func(i uint64, pair Pair) []byte
	// each visits the keys of all pairs, of a store.
	each func(visit func(key []byte))
	// checkpoint is called while pairs are written; nil where there is none on demand.
	checkpoint func()
	// verify is the engine's own check of what is open; nil where there is none.
	verify func() error
}

func keptStore(store Store) kept {
	return kept{
		put: func(i uint64, pair Pair) uint64 {
			store.Put(pair.Key, pair.Value)
			return i
		},
		get: func(_ uint64, pair Pair) (value []byte) {
			store.Get(pair.Key, func(found []byte) { value = bytes.Clone(found) })
			return value
		},
		each: func(visit func(key []byte)) {
			store.Scan(nil, 0, func(key, _ []byte) { visit(key) })
		},
	}
}

// keptLog is a log of pairs, whose records have numbers from 1. Read returns nil where there is no such record.
func keptLog(log Log, last *uint64, read func(index uint64) []byte) kept {
	return kept{
		put: func(_ uint64, pair Pair) uint64 {
			log.AppendBatch([][]byte{slices.Concat(pair.Key, pair.Value)})
			return *last
		},
		get: func(i uint64, pair Pair) []byte {
			record := read(i)
			if record == nil || !bytes.HasPrefix(record, pair.Key) {
				return record
			}
			return record[len(pair.Key):]
		},
	}
}

// moreEngines are those that the build tag fewpeers leaves out.
var moreEngines []engine

func allEngines() []engine {
	few := []engine{
		walnutEngine, walnutLogEngine, buntdbEngine, bboltEngine, pebbleEngine, pebbleNewestEngine, goleveldbEngine, goleveldbStrictEngine,
		tidwallLogEngine,
	}
	return slices.Concat(few, moreEngines)
}

// smallFile is how large a segment, memtable or table is, where an engine can be asked for that.
const smallFile = 32 << 10

// lineWriter calls say for each line.
type lineWriter struct{ say func(line string) }

func (w lineWriter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		w.say(string(bytes.TrimSpace(line)))
	}
	return len(p), nil
}

// warnings is a logger of what is a warning at least, without times, which are others in each run.
func warnings(say func(string)) *slog.Logger {
	return slog.New(slog.NewTextHandler(lineWriter{say}, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "elapsed" {
				return slog.Attr{}
			}
			return a
		},
	}))
}
