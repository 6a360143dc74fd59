package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
)

// commands reads a buntdb file as the commands that it is made of, without keeping one. Its lengths are checked against the
// bytes that are left, which buntdb doesn't do before it allocates.
//
// Invariant: whole is the position after the last whole command, and left is how many bytes follow what was read.
type commands struct {
	in          *bufio.Reader
	whole, left int64
	size        int64
}

// checkCommands returns errDamaged for a file that isn't commands from its first byte to its last.
func checkCommands(in io.Reader, size int64) error {
	c := &commands{in: bufio.NewReader(in), left: size, size: size}
	for c.left > 0 {
		err := c.command()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return damaged("the command at byte %d lacks its end: if its program died while it wrote, open the file once with buntdb, "+
				"which cuts the last %d bytes", c.whole, size-c.whole)
		}
		if err != nil {
			return err
		}
		c.whole = size - c.left
	}
	return nil
}

// command reads one command, or the zeros that buntdb allows between two.
func (c *commands) command() error {
	if first, err := c.in.Peek(1); err != nil || first[0] == 0 {
		return c.skip(1)
	}
	parts, err := c.number('*')
	if err != nil {
		return err
	}
	for range parts {
		length, err := c.number('$')
		if err != nil {
			return err
		}
		if length > c.left {
			return io.ErrUnexpectedEOF
		}
		if err := c.skip(length); err != nil {
			return err
		}
		if err := c.line(); err != nil {
			return err
		}
	}
	return nil
}

// number reads a line that is a sign and a number of at most 18 digits.
func (c *commands) number(sign byte) (int64, error) {
	line, err := c.in.ReadSlice('\n')
	c.left -= int64(len(line))
	if errors.Is(err, io.EOF) {
		return 0, err
	}
	digits, found := bytes.CutSuffix(line, []byte("\r\n"))
	if err != nil || !found || len(digits) < 2 || len(digits) > 19 || digits[0] != sign {
		return 0, damaged("the command at byte %d is none of buntdb's", c.whole)
	}
	number, err := strconv.ParseUint(string(digits[1:]), 10, 63)
	if err != nil {
		return 0, damaged("the command at byte %d has a length that is no number", c.whole)
	}
	return int64(number), nil
}

// line reads the end of a line.
func (c *commands) line() error {
	var end [2]byte
	n, err := io.ReadFull(c.in, end[:])
	c.left -= int64(n)
	if err != nil {
		return err
	}
	if string(end[:]) != "\r\n" {
		return damaged("the command at byte %d has a wrong length", c.whole)
	}
	return nil
}

func (c *commands) skip(length int64) error {
	n, err := io.CopyN(io.Discard, c.in, length)
	c.left -= n
	return err
}
