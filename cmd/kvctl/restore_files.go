package main

import (
	"io"
	"log/slog"
	"sync/atomic"
)

// restoreFiles are the files that a restore reads: the backup, and then the increments.
type restoreFiles struct {
	all     []*input
	reading atomic.Pointer[input] // The file that was last read, perhaps in another goroutine.
}

// restoreReader reads one of the files.
type restoreReader struct {
	of *restoreFiles
	in *input
}

// Read reads the decompressed file.
func (r restoreReader) Read(p []byte) (int, error) {
	r.of.reading.Store(r.in)
	n, err := r.in.text.Read(p)
	if err != nil && err != io.EOF {
		err = r.in.readError(err)
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

// size returns the number of bytes in all files, or -1 if it is unknown.
func (f *restoreFiles) size() (total int64) {
	for _, in := range f.all {
		if in.size < 0 {
			return -1
		}
		total += in.size
	}
	return total
}

// bytesRead returns the number of bytes read so far.
func (f *restoreFiles) bytesRead() (total int64) {
	for _, in := range f.all {
		total += in.read.Load()
	}
	return total
}

// warnOfRest warns of files that hold more than was restored, such as a backup and an increment in one file, and of compressed ones that are
// cut or damaged after their backup, which has its own checksums.
func (f *restoreFiles) warnOfRest(logger *slog.Logger) {
	for _, in := range f.all {
		switch rest, err := in.text.Peek(1); {
		case len(rest) > 0:
			logger.Warn("the file holds more bytes after its backup; they were not restored", "file", in.name)
		case err != io.EOF:
			logger.Warn("the backup was whole, but the file is cut or damaged after it; copy it again", "file", in.name, "error", err)
		}
	}
}

func (f *restoreFiles) close() {
	for _, in := range f.all {
		in.close()
	}
}
