package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"time"
)

// Limits of an upstream.
const (
	quickWrite = 16 << 10 // What is written before replies are read: a socket takes that much.
	replyPiece = 64 << 10 // How much memory is taken for a reply before more of it has arrived.
)

// Outcomes of commands that were forwarded, besides a reply.
var (
	errNotRun = errors.New("server: the leader didn't run the command")
	errBroken = errors.New("server: the leader may have run the command")
	// errUnreached is errNotRun of a leader that didn't answer.
	errUnreached = fmt.Errorf("%w: it can't be reached", errNotRun)
	// errDropped says that the leader has answered, and that there is no room for its reply. The connection goes on.
	errDropped = errors.New("server: there is no room for the leader's reply")
)

// upstream is a session's connection to the server of the node that leads.
//
// Invariant: between two calls of the session nothing is on its way. So what arrives then is the end, or that the other server wants no more.
type upstream struct {
	conn     net.Conn
	from     *bufio.Reader
	release  func() bool // Ends what closes the connection with the server.
	out      []byte      // Commands that are to be sent, up to quickWrite.
	later    [][][]byte  // Those after them. They aren't copied: all clients' together would be without a limit.
	spoken   bool        // The other end knows resp3 and user.
	resp3    bool
	user     string // The user of the next commands.
	watching bool   // WATCH was sent.

	writing chan struct{} // Closed once all was written; nil where nothing is written beside reading.
	sent    int           // How many bytes were. Read it after writing is closed.
}

// newUpstream returns one that is closed once ctx is done.
func newUpstream(ctx context.Context, conn net.Conn) *upstream {
	return &upstream{
		conn: conn, from: bufio.NewReader(conn),
		release: context.AfterFunc(ctx, func() { _ = conn.Close() }), // What reads sees that.
	}
}

// greet waits until the other server says that it reads commands.
func (u *upstream) greet(limit time.Time) error {
	_ = u.conn.SetReadDeadline(limit)
	greeting := reply{max: math.MaxInt}
	err := u.reply(&greeting)
	_ = u.conn.SetReadDeadline(time.Time{})
	return err
}

// isAlive reports whether the connection can be used, as far as can be known without sending anything.
func (u *upstream) isAlive() bool {
	n, err := peek(u.conn)
	return u.from.Buffered() == 0 && n == 0 && err == nil
}

// speak lets the other server answer in a protocol, and judge by a user's rights.
func (u *upstream) speak(resp3 bool, user string) {
	if u.spoken && u.resp3 == resp3 && u.user == user {
		return
	}
	u.spoken, u.resp3, u.user = true, resp3, user
	version := byte('2')
	if resp3 {
		version = '3'
	}
	u.add([][]byte{[]byte(forwardName), {version}, []byte(user)})
}

// headMost is how many bytes the head of an array or of an argument has at most, with the end of the argument.
const headMost = len("$83886080\r\n\r\n")

// add adds a command to those that flush sends. Its arguments must stay as they are until rest or close.
func (u *upstream) add(args [][]byte) {
	size := len(u.out) + headMost
	for _, arg := range args {
		size += headMost + len(arg)
	}
	if size > quickWrite || len(u.later) > 0 {
		u.later = append(u.later, args)
		return
	}
	u.out = appendHead(u.out, '*', len(args))
	for _, arg := range args {
		u.out = appendHead(u.out, '$', len(arg))
		u.out = append(u.out, arg...)
		u.out = append(u.out, '\r', '\n')
	}
}

func appendHead(to []byte, kind byte, n int) []byte {
	to = strconv.AppendInt(append(to, kind), int64(n), 10)
	return append(to, '\r', '\n')
}

// flush sends the commands. Many bytes are sent while replies are read: otherwise both ends could wait for the other to read. If sending
// fails, so will reading.
func (u *upstream) flush() {
	u.sent, u.writing = 0, nil
	if len(u.later) == 0 {
		_, _ = u.Write(u.out)
		return
	}
	written := make(chan struct{})
	u.writing = written
	go func() {
		defer close(written)
		u.sendLater()
	}()
}

// sendLater sends the commands, also those that aren't in out.
func (u *upstream) sendLater() {
	to := bufio.NewWriterSize(u, quickWrite)
	_, _ = to.Write(u.out) // Its errors come again from each call that follows.
	for _, args := range u.later {
		_, _ = to.Write(appendHead(to.AvailableBuffer(), '*', len(args)))
		for _, arg := range args {
			_, _ = to.Write(appendHead(to.AvailableBuffer(), '$', len(arg)))
			_, _ = to.Write(arg)
			_, _ = to.WriteString("\r\n")
		}
	}
	_ = to.Flush()
}

// Write sends bytes, and counts them.
func (u *upstream) Write(bytes []byte) (n int, err error) {
	n, err = u.conn.Write(bytes)
	u.sent += n
	return n, err
}

// rest ends an exchange of which all replies were read.
func (u *upstream) rest() {
	if u.writing != nil {
		<-u.writing
	}
	u.out, u.later = u.out[:0], nil
}

func (u *upstream) close() {
	u.release()
	_ = u.conn.Close() // Nothing is left to be sent.
	if u.writing != nil {
		<-u.writing
	}
}

// reply appends the next reply to others. The error is errDropped, errNotRun or errBroken. There are no replies after the last two.
func (u *upstream) reply(to *reply) error {
	start := len(to.buf)
	err := u.copyReply(to)
	if err == nil && !to.full {
		return nil
	}
	to.buf, to.full = to.buf[:start], false
	switch {
	case err == nil:
		return errDropped
	case errors.Is(err, errNotRun):
		return err
	}
	u.close()
	if u.sent == 0 {
		return fmt.Errorf("%w: %w", errUnreached, err)
	}
	return fmt.Errorf("%w: %w", errBroken, err)
}

// notLeader begins what a server answers to another one in place of the reply to the first command that it doesn't run. It is the last.
const notLeader = "-NOTLEADER"

// copyReply copies one reply, however deep it is. Where there is no room for all of it, it reads the rest.
func (u *upstream) copyReply(to *reply) error {
	first := len(to.buf)
	for left := int64(1); left > 0; left-- {
		start := len(to.buf)
		if err := u.copyLine(to); err != nil {
			return err
		}
		line := to.buf[start : len(to.buf)-2]
		if bytes.HasPrefix(line, []byte(notLeader)) {
			return errNotRun
		}
		items, length, err := announced(line)
		if err != nil {
			return err
		}
		left += items
		if err := u.copyBytes(to, first, length); err != nil {
			return err
		}
		if !to.fits(first, 0) {
			to.buf = to.buf[:first]
		}
	}
	return nil
}

// fits reports whether a reply that begins at first may have some more bytes. A short one may, so that none is lost for want of a few bytes.
func (r *reply) fits(first, length int) bool {
	return !r.full && (len(r.buf)+length-first <= replyPiece || r.hasRoom(length))
}

// announced returns how many replies, and how many bytes, the first line of one says that follow.
func announced(line []byte) (items, length int64, err error) {
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return 0, 0, nil
	}
	n, ok := parseInt(line[1:])
	switch kind := line[0]; {
	case !ok || n < -1 || n > 1<<40:
	case n == -1:
		return 0, 0, nil
	case kind == '$', kind == '=', kind == '!':
		return 0, n + 2, nil
	case kind == '*', kind == '~', kind == '>':
		return n, 0, nil
	case kind == '%':
		return 2 * n, 0, nil
	}
	return 0, 0, fmt.Errorf("server: a reply begins with %q", line[:min(len(line), 32)])
}

// copyLine copies a line, which has more than its end.
func (u *upstream) copyLine(to *reply) error {
	start := len(to.buf)
	for {
		piece, err := u.from.ReadSlice('\n')
		to.buf = append(to.buf, piece...)
		size := len(to.buf) - start
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		case size > inlineMax, err == nil && size < len("+\r\n"):
			return fmt.Errorf("server: a reply begins with a line of %d bytes", size)
		case err == nil:
			return nil
		}
	}
}

// copyBytes copies bytes of a reply that begins at first, and takes memory for them as they arrive.
func (u *upstream) copyBytes(to *reply, first int, length int64) error {
	for length > 0 {
		n, piece := len(to.buf), int(min(length, replyPiece))
		if !to.fits(first, piece) {
			_, err := io.CopyN(io.Discard, u.from, length)
			return err
		}
		to.buf = slices.Grow(to.buf, piece)[:n+piece]
		if _, err := io.ReadFull(u.from, to.buf[n:]); err != nil {
			return err
		}
		length -= int64(piece)
	}
	return nil
}
