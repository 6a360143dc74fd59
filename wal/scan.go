package wal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// scanChunk is how much a scanner reads at once where a frame doesn't ask for more.
const scanChunk = 256 << 10

// Reasons for which a scan stops before a frame.
var (
	errNeverWritten = errors.New("nothing was ever written here")
	errCutShort     = errors.New("the file ends inside a frame")
	errPayload      = errors.New("the payload's checksum is wrong")
)

// frame is one frame as a scanner finds it.
type frame struct {
	frameHead
	position int64
	offset   uint64 // Of a record; of the next record for a mark or a seal.
	payload  []byte // Valid until the scanner's next step.
}

// scanner reads a store's frames in order. Every frame before position checked out, and next and chain follow from them. A step
// that fails moves nothing, so it can be tried again once the file has changed.
type scanner struct {
	file    io.ReaderAt
	saltSum uint32 // Of the store's salt.
	base    uint64
	limit   int64 // The end of what may be looked at.

	position int64
	next     uint64
	chain    uint32

	window   []byte // Bytes of the file from windowAt on.
	windowAt int64
	buffer   []byte
}

// scan returns a scanner at the store's first frame that looks at nothing from limit on.
func (s *store) scan(limit int64) *scanner {
	return &scanner{
		file: s.file, saltSum: s.saltSum, base: s.head.base, limit: limit,
		position: headSize, next: s.head.base, chain: s.headChain,
	}
}

// from returns a scanner at a place whose chain is known.
func (s *store) from(position int64, next uint64, chain uint32) *scanner {
	sc := s.scan(0)
	sc.position, sc.next, sc.chain = position, next, chain
	return sc
}

// scanFrom returns a scanner at the frame of a record whose place is known. Its chain is not.
func (s *store) scanFrom(position int64, offset uint64, limit int64) *scanner {
	sc := s.scan(limit)
	if position != headSize {
		sc.position, sc.next, sc.chain = position, offset, 0
	}
	return sc
}

// view returns n bytes of the file from a position on, or fewer where limit or the file's end comes first. They are valid until the
// next call. An error is one of the disk.
func (s *scanner) view(position int64, n int) ([]byte, error) {
	n = int(min(int64(n), s.limit-position))
	if n <= 0 {
		return nil, nil
	}
	if position < s.windowAt || position+int64(n) > s.windowAt+int64(len(s.window)) {
		size := int(min(int64(max(n, scanChunk)), s.limit-position))
		if cap(s.buffer) < size {
			s.buffer = make([]byte, size)
		}
		s.window, s.windowAt = s.buffer[:0], position
		got, err := s.file.ReadAt(s.buffer[:size], position)
		if err != nil && err != io.EOF {
			return nil, err
		}
		s.window = s.buffer[:got]
	}
	from := int(position - s.windowAt)
	return s.window[from:min(from+n, len(s.window))], nil
}

// frame reads the frame at position and moves to its end. The error is one that isScanStop knows, or one of the disk.
func (s *scanner) frame() (frame, error) {
	head, encoded, err := s.head(s.position)
	if err != nil {
		return frame{}, err
	}
	chain := extendChain(s.chain, encoded)
	end := s.position + head.size()
	if end > s.limit {
		return frame{}, errCutShort
	}
	whole, err := s.view(s.position, int(head.size()))
	switch {
	case err != nil:
		return frame{}, err
	case int64(len(whole)) < head.size():
		return frame{}, errCutShort
	case payloadSumPadded(whole[frameHeadSize:]) != head.sum:
		return frame{}, errPayload
	case head.offset(s.base) != s.next:
		return frame{}, fmt.Errorf("%s has offset %d, want %d: %w", head.kind, head.offset(s.base), s.next, errNotFrame)
	}
	f := frame{frameHead: head, position: s.position, offset: s.next, payload: whole[frameHeadSize:][:head.length]}
	s.position = end
	if head.kind == kindRecord {
		s.next++
	}
	if !head.kind.isSeal() {
		s.chain = chain
	}
	return f, nil
}

// head reads a frame's header at any position. The encoded header is valid until the next call of view.
func (s *scanner) head(position int64) (frameHead, []byte, error) {
	encoded, err := s.view(position, frameHeadSize)
	switch {
	case err != nil:
		return frameHead{}, nil, err
	case len(encoded) < frameHeadSize:
		return frameHead{}, nil, errCutShort
	case isZero(encoded):
		return frameHead{}, nil, errNeverWritten
	}
	head, err := decodeFrameHead(encoded, s.saltSum, position)
	return head, encoded, err
}

// isScanStop reports whether an error of scanner.frame is about the bytes, and not the disk's.
func isScanStop(err error) bool {
	return errors.Is(err, errNeverWritten) || errors.Is(err, errCutShort) || errors.Is(err, errNotFrame) || errors.Is(err, errPayload)
}

// evidence looks after a frame that didn't check out, in steps of frameAlign, for a header that was built when that frame was
// known durable: then no power cut damaged the frame. It returns the position of that header, or 0, and the end of the last
// byte that isn't zero. The payload of a sound header is skipped, so that users' bytes are never taken for a frame.
func (s *scanner) evidence() (proof, written int64, err error) {
	written = s.position
	for at := s.position; at < s.limit; {
		window, err := s.view(at, scanChunk)
		if err != nil || len(window) == 0 {
			return 0, written, err
		}
		if isZero(window) {
			at += int64(len(window))
			continue
		}
		for end := at + int64(len(window)); at < end; {
			rest := window[len(window)-int(end-at):]
			if len(rest) < frameHeadSize && end < s.limit && len(rest) < len(window) {
				break // The header may cross the window's end: go on with a window that starts here.
			}
			step := int64(min(frameAlign, len(rest)))
			if !isZero(rest[:step]) {
				written = at + step
			}
			if head, err := decodeFrameHead(rest, s.saltSum, at); err == nil {
				if at > s.position && head.watermark(at) > s.position {
					return at, written, nil
				}
				step = head.size()
				written = min(at+step, s.limit)
			}
			at += step
		}
	}
	return 0, written, nil
}

// peek returns errNeverWritten where no frame's header stands at a position, which costs little.
func (s *store) peek(position int64) error {
	var head [frameHeadSize]byte
	n, err := s.file.ReadAt(head[:], position)
	if err != nil && err != io.EOF {
		return fmt.Errorf("read %s at position %d: %w", s.path, position, err)
	}
	if n == len(head) && isZero(head[:]) {
		return errNeverWritten
	}
	return nil
}

// resync looks for the next frame's header, from position on. It returns where that is and the header, or the limit and no header, and
// the end of the last byte before it that isn't zero.
func (s *scanner) resync() (at int64, head frameHead, written int64, err error) {
	written = s.position
	for at = s.position; at < s.limit; at += frameAlign {
		head, _, err := s.head(at)
		if err == nil {
			return at, head, written, nil
		}
		if !isScanStop(err) {
			return at, frameHead{}, written, err
		}
		if errors.Is(err, errNeverWritten) {
			continue
		}
		window, err := s.view(at, frameAlign)
		if err != nil {
			return at, frameHead{}, written, err
		}
		if last := bytes.TrimRight(window, "\x00"); len(last) > 0 {
			written = at + int64(len(last))
		}
	}
	return s.limit, frameHead{}, written, nil
}

// payloadSumPadded is payloadSum of a payload that its padding follows.
func payloadSumPadded(padded []byte) uint32 { return crc32.Checksum(padded, castagnoli) }

// isZero reports whether all of at most scanChunk bytes are zero.
func isZero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }

// headAt fills a buffer with what stands at a position that a hint gave: the header of a frame, which it decodes, and what follows.
func (s *store) headAt(file io.ReaderAt, position int64, buffer []byte) (head frameHead, rest []byte, err error) {
	if position < headSize {
		return frameHead{}, nil, errNotFrame
	}
	n, err := file.ReadAt(buffer, position)
	if n < frameHeadSize {
		return frameHead{}, nil, err
	}
	head, err = decodeFrameHead(buffer, s.saltSum, position)
	return head, buffer[frameHeadSize:n], err
}

// readBuffer is where the first bytes of a frame of unknown size are read: a small record takes no second call.
type readBuffer [512]byte

var readBuffers = sync.Pool{New: func() any { return new(readBuffer) }}

// readFrame reads the record with this offset at a position that a hint gave, at first from the store's file or a mapping of it. The rest of
// a larger record comes from the file, for which the system reads ahead.
func (s *store) readFrame(file io.ReaderAt, position int64, offset uint64, buffer []byte) ([]byte, error) {
	head, rest, err := s.headAt(file, position, buffer)
	if err != nil {
		return nil, err
	}
	size := head.size()
	if head.kind != kindRecord || head.offset(s.head.base) != offset || position+size > s.written.position() {
		return nil, errNotFrame
	}
	payload := make([]byte, size-frameHeadSize)
	if n := copy(payload, rest); n < len(payload) {
		if _, err := s.file.ReadAt(payload[n:], position+frameHeadSize+int64(n)); err != nil {
			return nil, err
		}
	}
	if payloadSumPadded(payload) != head.sum {
		return nil, errPayload
	}
	return payload[:head.length:head.length], nil
}
