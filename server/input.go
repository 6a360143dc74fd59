package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Limits of what a client sends, in bytes. Those before a client is authenticated are Redis'.
const (
	inlineMax     = 64 << 10 // Of a line: an inline command, or a length.
	argumentsMax  = 1 << 20  // How many arguments a command has.
	requestMax    = 80 << 20 // Of a command: more than the largest commit.
	strangerCount = 10       // How many arguments a command has before its client is authenticated.
	strangerBytes = 16 << 10 // Of an argument before that, and of a line.
)

// inputSize is the buffer that a connection has while commands arrive, unless one needs more. Where the system can say that bytes have
// arrived, an idle connection has none.
const inputSize = 16 << 10

// argumentsKept is for how many arguments an idle connection keeps memory.
const argumentsKept = 1 << 10

// What an argument takes in memory besides its bytes, at most: a span until its request has arrived whole, and a slice from then on.
const (
	spanBytes  = 16
	sliceBytes = 24
)

// inputs holds buffers for use again.
var inputs = sync.Pool{New: func() any { return new([inputSize]byte) }}

// protocolError is a request that can't be read, after which the next one can't be found.
type protocolError string

func (e protocolError) Error() string { return "ERR Protocol error: " + string(e) }

// input reads the requests of a connection. The bytes of arguments are those of its buffer, valid until the next fill or forget.
//
// Invariants: buf[start:end] is what was read and is part of no request that next returned. Memory is taken for bytes that have arrived,
// never for a length that was announced: buf has inputSize bytes, or at most twice those in it.
type input struct {
	from    io.Reader
	ready   *readyReader     // Nil where the system can't say that bytes have arrived.
	pooled  *[inputSize]byte // What buf is, if it is from the pool.
	buf     []byte
	start   int
	end     int
	known   bool // The client is authenticated.
	partial partial
	args    [][]byte // The arguments of requests since the last fill or forget, or the last of them.
	further int      // How many arguments there is memory for since then beyond what an idle connection keeps.
	filled  int      // Bytes that the last fill read.
	share   share    // Of what there is beyond inputSize and argumentsKept.
}

// partial is the request that begins at start, as far as it was read.
type partial struct {
	at    int    // Where to go on, from start.
	left  int    // How many arguments are missing; 0 before the request's head was read.
	bulk  int    // The length of the next argument, -1 before that was read.
	spans []span // The arguments that are there.
}

// span is an argument's bytes, from start.
type span struct{ from, to int }

func (p *partial) reset() {
	*p = partial{bulk: -1, spans: p.spans[:0]}
	if cap(p.spans) > argumentsKept {
		p.spans = nil
	}
}

// newInput returns the input of a connection. Without a password every client is known.
func newInput(from io.Reader, known bool) *input {
	in := &input{from: from, known: known}
	in.ready = newReadyReader(from, in.room, in.rest)
	in.partial.reset()
	return in
}

// fill waits for bytes and reads them. What next returned before is invalid then. The error is a crowdedError where there is no room.
func (in *input) fill() error {
	in.forget()
	if in.start > 0 {
		copy(in.buf, in.buf[in.start:in.end])
		in.start, in.end = 0, in.end-in.start
	}
	in.shrink()
	if in.end > 0 && in.end == len(in.buf) && !in.grow() {
		return crowdedError{}
	}
	n, err := in.read()
	in.end += n
	in.filled = n
	switch {
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// forget lets go of the arguments that next has returned.
func (in *input) forget() {
	clear(in.args)
	in.args = in.args[:0]
	if cap(in.args) > argumentsKept {
		in.args = nil
	}
	if in.further > 0 {
		in.further = 0
		in.hold(len(in.buf), cap(in.partial.spans))
	}
}

// hold counts what the input takes with a buffer and spans of these lengths, and reports whether there is room.
func (in *input) hold(buffer, spans int) bool {
	return in.share.hold(max(0, buffer-inputSize) + max(0, spans-argumentsKept)*spanBytes + in.further*sliceBytes)
}

func (in *input) read() (n int, err error) {
	if in.ready != nil {
		return in.ready.Read()
	}
	return in.from.Read(in.room())
}

// room returns where to read to.
func (in *input) room() []byte {
	if len(in.buf) == 0 {
		in.buf = in.fromPool()
	}
	return in.buf[in.end:]
}

// grow takes a larger buffer, and reports whether there is room for one.
func (in *input) grow() bool {
	size := 2 * len(in.buf)
	if !in.known && !in.share.of.isMostlyFree() || !in.hold(size, cap(in.partial.spans)) {
		return false
	}
	larger := make([]byte, size)
	copy(larger, in.buf)
	in.release()
	in.buf = larger
	return true
}

// close lets the buffer go.
func (in *input) close() {
	in.release()
	in.share.hold(0)
	in.buf = nil
}

func (in *input) fromPool() []byte {
	in.pooled = inputs.Get().(*[inputSize]byte)
	return in.pooled[:]
}

// shrink lets a large buffer go once few bytes are in it.
func (in *input) shrink() {
	switch {
	case len(in.buf) <= inputSize || in.end >= inputSize:
	case in.end == 0:
		in.rest()
	default:
		large := in.buf
		in.hold(inputSize, cap(in.partial.spans))
		in.buf = in.fromPool()
		copy(in.buf, large[:in.end])
	}
}

// rest lets an empty buffer go, since the wait for the next bytes may be long.
func (in *input) rest() {
	if in.end == 0 {
		in.close()
	}
}

// release gives a pooled buffer back that is in use no longer.
func (in *input) release() {
	if in.pooled != nil {
		inputs.Put(in.pooled)
		in.pooled = nil
	}
}

// errMore says that the next request isn't there whole.
var errMore = errors.New("server: more bytes are needed")

// next returns the next request, which has at least one argument. The error is errMore, a protocolError, or a crowdedError.
func (in *input) next() (args [][]byte, err error) {
	for in.start < in.end {
		first := in.buf[in.start] == '*'
		if !first && in.partial.left == 0 {
			args, err = in.inline()
		} else {
			args, err = in.multibulk()
		}
		if err != nil || len(args) > 0 {
			return args, err
		}
	}
	return nil, errMore
}

// line returns the line at the request's place, without its end, and goes after it.
func (in *input) line(tooLong protocolError) ([]byte, error) {
	from := in.start + in.partial.at
	length := bytes.IndexByte(in.buf[from:in.end], '\n')
	switch {
	case length < 0 && in.end-from > inlineMax:
		return nil, tooLong
	case length < 0:
		return nil, errMore
	}
	in.partial.at += length + 1
	return bytes.TrimSuffix(in.buf[from:from+length], []byte{'\r'}), nil
}

// inline returns the command of a line that a person may have typed.
func (in *input) inline() ([][]byte, error) {
	line, err := in.line("too big inline request")
	if err != nil {
		return nil, err
	}
	if len(line) > strangerBytes && !in.known {
		return nil, protocolError("unauthenticated inline request")
	}
	words, balanced := splitWords(line)
	switch {
	case !balanced:
		return nil, protocolError("unbalanced quotes in request")
	case len(words) > strangerCount && !in.known:
		return nil, protocolError("unauthenticated inline request")
	}
	in.took()
	return words, nil
}

// took ends the request.
func (in *input) took() {
	in.start += in.partial.at
	large := cap(in.partial.spans) > argumentsKept
	if in.partial.reset(); large {
		in.hold(len(in.buf), 0)
	}
}

// multibulk returns the command that is an array of arguments. An empty array is none.
func (in *input) multibulk() ([][]byte, error) {
	if in.partial.left == 0 {
		count, err := in.count()
		if err != nil {
			return nil, err
		}
		if count <= 0 {
			in.took()
			return nil, nil
		}
		in.partial.left = count
	}
	for in.partial.left > 0 {
		if err := in.argument(); err != nil {
			return nil, err
		}
	}
	if !in.growArguments(len(in.partial.spans)) {
		return nil, crowdedError{}
	}
	first := len(in.args)
	for _, s := range in.partial.spans {
		in.args = append(in.args, in.buf[in.start+s.from:in.start+s.to:in.start+s.to])
	}
	in.took()
	return in.args[first:len(in.args):len(in.args)], nil
}

// growArguments lets args take some more, and reports whether there is room. Requests before keep what they have.
func (in *input) growArguments(more int) bool {
	if all := len(in.args) + more; all <= cap(in.args) || all <= argumentsKept {
		return true
	}
	size := max(more, argumentsKept)
	if in.further += size; !in.hold(len(in.buf), cap(in.partial.spans)) {
		in.further -= size
		return false
	}
	in.args = make([][]byte, 0, size)
	return true
}

// count reads how many arguments a request has.
func (in *input) count() (int, error) {
	line, err := in.line("too big mbulk count string")
	if err != nil {
		return 0, err
	}
	count, ok := parseInt(line[1:])
	switch {
	case !ok || count > argumentsMax:
		return 0, protocolError("invalid multibulk length")
	case count > strangerCount && !in.known:
		return 0, protocolError("unauthenticated multibulk length")
	}
	return int(count), nil
}

// argument reads the next argument.
func (in *input) argument() error {
	p := &in.partial
	if p.bulk < 0 {
		if err := in.bulkLength(); err != nil {
			return err
		}
	}
	if in.start+p.at+p.bulk+2 > in.end {
		return errMore
	}
	if len(p.spans) == cap(p.spans) && len(p.spans) >= argumentsKept && !in.growSpans() {
		return crowdedError{}
	}
	p.spans = append(p.spans, span{p.at, p.at + p.bulk})
	p.at += p.bulk + 2
	p.bulk = -1
	p.left--
	return nil
}

// growSpans takes memory for more spans, and reports whether there is room.
func (in *input) growSpans() bool {
	p := &in.partial
	size := min(2*len(p.spans), len(p.spans)+p.left)
	if !in.hold(len(in.buf), size) {
		return false
	}
	larger := make([]span, len(p.spans), size)
	copy(larger, p.spans)
	p.spans = larger
	return true
}

// bulkLength reads how long the next argument is.
func (in *input) bulkLength() error {
	line, err := in.line("too big bulk count string")
	if err != nil {
		return err
	}
	if len(line) == 0 || line[0] != '$' {
		return protocolError(fmt.Sprintf("expected '$', got '%s'", firstOf(line)))
	}
	length, ok := parseInt(line[1:])
	switch {
	case !ok || length < 0 || length > requestMax-int64(in.partial.at):
		return protocolError("invalid bulk length")
	case length > strangerBytes && !in.known:
		return protocolError("unauthenticated bulk length")
	}
	in.partial.bulk = int(length)
	return nil
}

// firstOf returns the first byte of a line as a message shows it.
func firstOf(line []byte) string {
	if len(line) == 0 || line[0] < ' ' || line[0] > '~' {
		return " "
	}
	return string(line[:1])
}
