package main

import (
	"bytes"
	"io"
	"path/filepath"
	"sync"

	"github.com/walnutkv/walnut/internal/vfs"
)

var fileLimit = Peer{
	Name: "bare-file", OpenStore: openFileLimitStore, OpenLog: openFileLimitLog, Limit: true,
	Only: []string{"W1", "W3", "L1", "L2", "L3"},
}

// preparedSize is how many bytes of the file are zero-filled and synced ahead in the durable mode. It is begun again from
// the front when it is full, as a log with reused segments would.
const preparedSize = 64 << 20

// fileLog is what a log can't do without: bytes go to a file, and in the durable mode the appenders that come while the
// disk works share the next write and fdatasync. It has no frames and no checksums, so nothing can be recovered from it.
type fileLog struct {
	file     vfs.File
	durable  bool
	position int64 // Where the next write goes; belongs to who holds writing.

	writing sync.Mutex
	mu      sync.Mutex // Held for a moment, also while another holds writing.
	forming *fileGroup
}

// fileGroup is what one write will carry. The appender whose record is the first leads: it writes for all.
type fileGroup struct {
	bytes   []byte
	written chan struct{} // Closed when err is set.
	err     error
}

func newFileGroup() *fileGroup { return &fileGroup{written: make(chan struct{})} }

func openFileLimit(dir string, settings Settings) (*fileLog, error) {
	name := filepath.Join(dir, "bare")
	file, err := vfs.OS.Open(name)
	if err != nil {
		file, err = vfs.OS.Create(name)
	}
	if err != nil {
		return nil, err
	}
	l := &fileLog{file: file, durable: settings.Mode == Durable, forming: newFileGroup()}
	if l.durable {
		err = l.prepare()
	}
	return l, err
}

func openFileLimitLog(dir string, settings Settings) (Log, error) {
	return openFileLimit(dir, settings)
}

func (l *fileLog) prepare() error {
	if err := l.file.Allocate(preparedSize); err != nil {
		return err
	}
	return l.file.Sync()
}

func (l *fileLog) Append(record []byte) error {
	if !l.durable {
		l.writing.Lock()
		defer l.writing.Unlock()
		return l.write(record)
	}
	l.mu.Lock()
	group, leads := l.forming, len(l.forming.bytes) == 0
	group.bytes = append(group.bytes, record...)
	l.mu.Unlock()
	if leads {
		l.lead(group)
	}
	<-group.written
	return group.err
}

// lead waits for the disk, while which the group grows, and then writes it.
func (l *fileLog) lead(group *fileGroup) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	l.forming = newFileGroup()
	l.mu.Unlock()
	group.err = l.write(group.bytes)
	close(group.written)
}

func (l *fileLog) write(b []byte) error {
	if l.durable && l.position+int64(len(b)) > preparedSize {
		l.position = 0
	}
	if _, err := l.file.WriteAt(b, l.position); err != nil {
		return err
	}
	l.position += int64(len(b))
	if !l.durable {
		return nil
	}
	return l.file.Sync()
}

func (l *fileLog) AppendBatch(records [][]byte) error { return l.Append(bytes.Join(records, nil)) }

// ReadAll visits the file's bytes in large pieces: where one record ends nobody wrote down.
func (l *fileLog) ReadAll(visit func(record []byte)) error {
	piece := make([]byte, 1<<20)
	for position := int64(0); ; position += int64(len(piece)) {
		n, err := l.file.ReadAt(piece, position)
		visit(piece[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (l *fileLog) Close() error { return l.file.Close() }

// fileStore is the part of a store that waits for the disk.
type fileStore struct{ log *fileLog }

func openFileLimitStore(dir string, settings Settings) (Store, error) {
	log, err := openFileLimit(dir, settings)
	return fileStore{log}, err
}

// framing is how many bytes go with a pair: lengths, checksum and so on.
const framing = 12

func (s fileStore) Put(key, value []byte) error { return s.Batch([]Pair{{key, value}}) }

func (s fileStore) Batch(pairs []Pair) error {
	size := 0
	for _, pair := range pairs {
		size += framing + len(pair.Key) + len(pair.Value)
	}
	record := make([]byte, 0, size)
	for _, pair := range pairs {
		record = append(record, make([]byte, framing)...)
		record = append(append(record, pair.Key...), pair.Value...)
	}
	return s.log.Append(record)
}

func (s fileStore) Get([]byte, func([]byte)) error                  { return errUnsupported }
func (s fileStore) Scan([]byte, int, func(key, value []byte)) error { return errUnsupported }
func (s fileStore) Update([]byte, func([]byte) []byte) error        { return errUnsupported }
func (s fileStore) Sync() error                                     { return s.log.file.Sync() }
func (s fileStore) Close() error                                    { return s.log.Close() }
