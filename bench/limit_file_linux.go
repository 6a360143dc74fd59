package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

func init() {
	limits = append(limits, Peer{
		Name: "bare-file", Limit: true, Only: "W1|W3|L1",
		OpenStore: func(dir string, _ Settings) Store { return fileStore{fileLog: openFileLimit(dir)} },
		OpenLog:   func(dir string, _ Settings) Log { return openFileLimit(dir) },
	})
}

// preparedSize is how many bytes of the file are zero-filled and synced in advance. A full file is written again from its
// start, as a log that reuses segments would do.
const preparedSize = 64 << 20

// fileLog is the part of a log that can't be left out: bytes go to a file, and appends that come while the disk works share
// the next write and sync. It has no frames and no checksums, so nothing can be recovered from it.
type fileLog struct {
	file     *os.File
	position int64

	writing sync.Mutex // Held while the file is written; guards position.
	mu      sync.Mutex
	forming *fileGroup
}

// fileGroup is what one write will carry. The goroutine with its first record leads: it writes for all.
type fileGroup struct {
	bytes   []byte
	written chan struct{} // Closed when that has happened.
}

func newFileGroup() *fileGroup { return &fileGroup{written: make(chan struct{})} }

func openFileLimit(dir string) *fileLog {
	file, err := os.Create(filepath.Join(dir, "bare"))
	check(err)
	_, err = file.Write(make([]byte, preparedSize))
	check(errors.Join(err, file.Sync()))
	return &fileLog{file: file, forming: newFileGroup()}
}

func (l *fileLog) Append(record []byte) {
	l.mu.Lock()
	group, leads := l.forming, len(l.forming.bytes) == 0
	group.bytes = append(group.bytes, record...)
	l.mu.Unlock()
	if leads {
		l.writing.Lock() // The group grows while the disk works for the one before it.
		l.mu.Lock()
		l.forming = newFileGroup()
		l.mu.Unlock()
		l.write(group.bytes)
		close(group.written)
		l.writing.Unlock()
	}
	<-group.written
}

func (l *fileLog) write(b []byte) {
	if l.position+int64(len(b)) > preparedSize {
		l.position = 0
	}
	_, err := l.file.WriteAt(b, l.position)
	check(errors.Join(err, syscall.Fdatasync(int(l.file.Fd()))))
	l.position += int64(len(b))
}

func (l *fileLog) AppendBatch(records [][]byte) { l.Append(bytes.Join(records, nil)) }
func (l *fileLog) ReadAll(func(record []byte))  { fatal("nothing says where a record ends") }
func (l *fileLog) Close()                       { check(l.file.Close()) }

// fileStore is the part of a store that waits for the disk.
type fileStore struct {
	unsupported
	*fileLog
}

// framing stands for what goes with a pair: lengths, checksum and so on.
var framing = make([]byte, 12)

func (s fileStore) Put(key, value []byte) { s.Batch([]Pair{{key, value}}) }

func (s fileStore) Batch(pairs []Pair) {
	record := make([]byte, 0, len(pairs)*(len(framing)+len(pairs[0].Key)+len(pairs[0].Value)))
	for _, pair := range pairs {
		record = append(append(append(record, framing...), pair.Key...), pair.Value...)
	}
	s.Append(record)
}
