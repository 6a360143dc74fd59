package main

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

func init() {
	limits = append(limits, Peer{
		Name: "bare-file", Limit: true, Only: "W1|W3|L1",
		OpenStore: func(dir string, _ Settings) (Store, error) {
			log, err := openFileLimit(dir)
			return fileStore{fileLog: log}, err
		},
		OpenLog: func(dir string, _ Settings) (Log, error) { return openFileLimit(dir) },
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
	written chan struct{} // Closed when err is set.
	err     error
}

func newFileGroup() *fileGroup { return &fileGroup{written: make(chan struct{})} }

func openFileLimit(dir string) (*fileLog, error) {
	name := filepath.Join(dir, "bare")
	if err := os.WriteFile(name, make([]byte, preparedSize), 0o600); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return &fileLog{file: file, forming: newFileGroup()}, file.Sync()
}

func (l *fileLog) Append(record []byte) error {
	l.mu.Lock()
	group, leads := l.forming, len(l.forming.bytes) == 0
	group.bytes = append(group.bytes, record...)
	l.mu.Unlock()
	if leads {
		l.writing.Lock() // The group grows while the disk works for the one before it.
		l.mu.Lock()
		l.forming = newFileGroup()
		l.mu.Unlock()
		group.err = l.write(group.bytes)
		close(group.written)
		l.writing.Unlock()
	}
	<-group.written
	return group.err
}

func (l *fileLog) write(b []byte) error {
	if l.position+int64(len(b)) > preparedSize {
		l.position = 0
	}
	if _, err := l.file.WriteAt(b, l.position); err != nil {
		return err
	}
	l.position += int64(len(b))
	return syscall.Fdatasync(int(l.file.Fd()))
}

func (l *fileLog) AppendBatch(records [][]byte) error { return l.Append(bytes.Join(records, nil)) }
func (l *fileLog) ReadAll(func(record []byte)) error  { return errUnsupported }
func (l *fileLog) Close() error                       { return l.file.Close() }

// fileStore is the part of a store that waits for the disk.
type fileStore struct {
	unsupported
	*fileLog
}

// framing stands for what goes with a pair: lengths, checksum and so on.
var framing = make([]byte, 12)

func (s fileStore) Put(key, value []byte) error { return s.Batch([]Pair{{key, value}}) }

func (s fileStore) Batch(pairs []Pair) error {
	record := make([]byte, 0, len(pairs)*(len(framing)+len(pairs[0].Key)+len(pairs[0].Value)))
	for _, pair := range pairs {
		record = append(append(append(record, framing...), pair.Key...), pair.Value...)
	}
	return s.Append(record)
}

func (s fileStore) Close() error { return s.fileLog.Close() }
