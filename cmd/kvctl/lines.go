package main

import (
	"bufio"
	"fmt"
	"io"

	"github.com/walnutkv/walnut/kv"
)

// maxLine is the longest line or row of an import, in bytes: room for a pair of the largest key and value, as hex or base64. It
// bounds the memory for a file without line ends.
const maxLine = 2*kv.MaxValueSize + 1<<20

// lineError says which line of the input could not be read or stored.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

// Unwrap returns what is wrong with the line.
func (e *lineError) Unwrap() error { return e.err }

// lineReader reads lines of up to max bytes and counts them.
type lineReader struct {
	from *bufio.Reader
	max  int
	line int    // The number of the line that next last returned.
	long []byte // Holds a line that doesn't fit from's buffer; reused.
}

// next returns the next line without its end, "\n" or "\r\n". The bytes are valid until the next call. The error is
// io.EOF after the last line.
func (r *lineReader) next() ([]byte, error) {
	r.line++
	line, err := r.from.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = r.nextLong(line)
	}
	if err == io.EOF && len(line) > 0 {
		err = nil // The last line of a file need not have an end.
	}
	if err == io.EOF {
		return nil, io.EOF
	}
	if err != nil {
		return nil, &lineError{r.line, err}
	}
	return withoutEnd(line), nil
}

// nextLong reads the rest of a line that is longer than the buffer; begin is its first part.
func (r *lineReader) nextLong(begin []byte) ([]byte, error) {
	r.long = append(r.long[:0], begin...)
	for {
		part, err := r.from.ReadSlice('\n')
		if len(r.long)+len(part) > r.max {
			return nil, fmt.Errorf("longer than %d bytes", r.max)
		}
		r.long = append(r.long, part...)
		if err != bufio.ErrBufferFull {
			return r.long, err
		}
	}
}

func withoutEnd(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}
