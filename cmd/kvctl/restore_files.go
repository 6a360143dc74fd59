package main

import (
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
)

// restoreFiles are the files that a restore reads: the backup, and then the increments.
type restoreFiles struct {
	all     []*input
	reading atomic.Pointer[input] // The one that was read last. The reader may have a goroutine of its own.
}

// restoreReader reads one of the files.
type restoreReader struct {
	of *restoreFiles
	in *input
}

// Read reads what the file holds, decompressed.
func (r restoreReader) Read(p []byte) (int, error) {
	r.of.reading.Store(r.in)
	n, err := r.in.text.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read %s: %w", r.in.name, err)
	}
	return n, err
}

func (f *restoreFiles) readers() []io.Reader {
	readers := make([]io.Reader, 0, len(f.all))
	for _, in := range f.all {
		readers = append(readers, restoreReader{f, in})
	}
	return readers
}

// size returns how many bytes there are to read, -1 where that isn't known.
func (f *restoreFiles) size() (total int64) {
	for _, in := range f.all {
		if in.size < 0 {
			return -1
		}
		total += in.size
	}
	return total
}

// behind returns how many bytes have been read.
func (f *restoreFiles) behind() (total int64) {
	for _, in := range f.all {
		total += in.read.Load()
	}
	return total
}

// warnOfRest tells of files that go on behind what was restored, such as a backup and an increment that were put into one.
func (f *restoreFiles) warnOfRest(logger *slog.Logger) {
	for _, in := range f.all {
		if rest, _ := in.text.Peek(1); len(rest) > 0 {
			logger.Warn("the file goes on behind the backup in it; what follows was not restored", "file", in.name)
		}
	}
}

func (f *restoreFiles) close() {
	for _, in := range f.all {
		in.close()
	}
}
