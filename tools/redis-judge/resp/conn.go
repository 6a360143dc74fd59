package resp

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Conn is a connection to a server. Commands gather in it until Flush. One goroutine may send while another one reads.
type Conn struct {
	net.Conn
	reader *bufio.Reader
	out    bytes.Buffer
}

// Dial connects to a server.
func Dial(address string) (*Conn, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: conn, reader: bufio.NewReader(conn)}, nil
}

// Append adds a command to a buffer, as an array of bulk strings.
func Append(buffer []byte, args ...string) []byte {
	buffer = append(buffer, '*')
	buffer = strconv.AppendInt(buffer, int64(len(args)), 10)
	buffer = append(buffer, "\r\n"...)
	for _, arg := range args {
		buffer = append(buffer, '$')
		buffer = strconv.AppendInt(buffer, int64(len(arg)), 10)
		buffer = append(buffer, "\r\n"...)
		buffer = append(buffer, arg...)
		buffer = append(buffer, "\r\n"...)
	}
	return buffer
}

// Put adds a command to what Flush sends.
func (c *Conn) Put(args ...string) { c.out.Write(Append(nil, args...)) }

// Flush sends what was put.
func (c *Conn) Flush() error {
	_, err := c.out.WriteTo(c.Conn)
	return err
}

// Next reads the next reply, for at most a minute.
func (c *Conn) Next() (Reply, error) {
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return Reply{}, err
	}
	return Read(c.reader)
}

// Do sends a command and reads its reply.
func (c *Conn) Do(args ...string) (Reply, error) {
	c.Put(args...)
	if err := c.Flush(); err != nil {
		return Reply{}, err
	}
	return c.Next()
}

// Must is Do for a command that has to succeed: an error reply is an error.
func (c *Conn) Must(args ...string) (Reply, error) {
	reply, err := c.Do(args...)
	if err == nil && reply.IsError() {
		err = fmt.Errorf("%q: %s", args, reply.Text)
	}
	return reply, err
}
