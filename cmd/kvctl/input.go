package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// input is what an import reads: a file or standard input, decompressed on the way.
type input struct {
	name string        // As error messages have it.
	size int64         // The bytes to read in all, before decompression; -1 if unknown.
	read byteCount     // The bytes read so far, before decompression.
	text *bufio.Reader // Decompressed, and without a byte order mark.
	file *os.File      // Nil for standard input.

	compressed bool
}

// openInput opens a file by name, or standard input for "-".
func (a *app) openInput(name string) (*input, error) {
	return a.openInputBy(name, func(from io.Reader) io.Reader { return from })
}

// openInputUntil is openInput for a command that an interrupt ends, also while a pipe has no writer, or one that writes nothing.
func (a *app) openInputUntil(ctx context.Context, name string) (*input, error) {
	type opened struct {
		in  *input
		err error
	}
	done := make(chan opened, 1)
	go func() {
		in, err := a.openInputBy(name, func(from io.Reader) io.Reader { return &stoppable{ctx: ctx, stdin: from} })
		done <- opened{in, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-done:
		return result.in, result.err
	}
}

// openInputBy opens an input. What isn't a regular file is read by way of the reader that through returns.
func (a *app) openInputBy(name string, through func(io.Reader) io.Reader) (*input, error) {
	if name == "-" {
		in := &input{name: "standard input", size: -1}
		return in, in.decompress("", through(a.stdin))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	in := &input{name: name, size: -1, file: file}
	from := io.Reader(file)
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		in.size = info.Size()
	} else {
		from = through(file)
	}
	if err := in.decompress(name, from); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// decompress sets text, by the ending of the name or else by the first bytes.
func (in *input) decompress(name string, from io.Reader) error {
	raw := bufio.NewReaderSize(io.TeeReader(from, &in.read), 64<<10)
	magic, err := raw.Peek(4)
	if err != nil && err != io.EOF {
		return in.readError(err)
	}
	plain := io.Reader(raw)
	in.compressed = true
	switch compressor := compressorOf(magic); {
	case strings.HasSuffix(name, ".gz") || compressor == "gzip":
		plain, err = gzip.NewReader(raw)
	case strings.HasSuffix(name, ".zst") || compressor == "zstd":
		// One goroutine, so that nothing is left running when an import stops early. The window is limited to the largest
		// that the zstd program accepts, so that a false header can't ask for more.
		plain, err = zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
	default:
		in.compressed, err = false, nil
	}
	if err != nil {
		return fmt.Errorf("decompress %s: %w", in.name, err)
	}
	in.text = bufio.NewReaderSize(plain, 64<<10)
	if mark, _ := in.text.Peek(3); string(mark) == "\xef\xbb\xbf" {
		_, err = in.text.Discard(3)
	}
	return err
}

// readError returns an error of reading, which names the file once.
func (in *input) readError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && path.Path == in.name {
		err = path.Err
	}
	return fmt.Errorf("read %s: %w", in.name, err)
}

// compressorOf returns the program whose file begins with four bytes, or "" if they are of neither.
func compressorOf(magic []byte) string {
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return "gzip"
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	}
	return ""
}

// close closes the file. A read in progress then fails.
func (in *input) close() {
	if in.file != nil {
		// Nothing was written to the file, so a failed close loses nothing.
		_ = in.file.Close()
	}
}
