// Package resp speaks the Redis protocol as the judges need it: replies keep the bytes they came as, and a reply that
// breaks the protocol is an error. It shares no code with the server that it judges.
package resp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Reply is one reply with everything in it.
type Reply struct {
	Kind     byte    // The first byte: one of + - : $ * and RESP3's _ , # ! = ( % ~ | >.
	Text     string  // What follows the kind, or the bytes of a bulk string. Of an aggregate it is empty.
	Null     bool    // $-1, *-1 or _.
	Elements []Reply // A map has two for each pair.
	Raw      []byte  // The bytes on the wire.
}

// ErrProtocol reports a reply that breaks the protocol.
var ErrProtocol = errors.New("resp: reply breaks the protocol")

// maxLength bounds what is allocated for one length that a server announces.
const maxLength = 64 << 20

// Read reads one reply.
func Read(r *bufio.Reader) (Reply, error) {
	var raw bytes.Buffer
	reply, err := read(r, &raw)
	return reply, err
}

func read(r *bufio.Reader, raw *bytes.Buffer) (reply Reply, err error) {
	start := raw.Len()
	line, err := readLine(r, raw)
	if err != nil {
		return reply, err
	}
	reply.Kind, reply.Text = line[0], line[1:]
	switch reply.Kind {
	case '+', '-':
	case ':', '(', ',', '#':
		err = checkNumber(reply)
	case '_':
		reply.Null = true
		if reply.Text != "" {
			err = fmt.Errorf("%w: null %q", ErrProtocol, line)
		}
	case '$', '!', '=':
		err = reply.readBulk(r, raw)
	case '*', '~', '>', '%', '|':
		err = reply.readElements(r, raw)
	default:
		err = fmt.Errorf("%w: %q begins no reply", ErrProtocol, line)
	}
	reply.Raw = raw.Bytes()[start:raw.Len():raw.Len()]
	return reply, err
}

// readLine returns a line without its end.
func readLine(r *bufio.Reader, raw *bytes.Buffer) (string, error) {
	line, err := r.ReadBytes('\n')
	raw.Write(line)
	if err != nil {
		if len(line) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	text, ended := strings.CutSuffix(string(line), "\r\n")
	if !ended || text == "" || strings.Contains(text, "\r") {
		return "", fmt.Errorf("%w: line %q", ErrProtocol, line)
	}
	return text, nil
}

func checkNumber(reply Reply) error {
	sound := false
	switch reply.Kind {
	case ':':
		n, err := strconv.ParseInt(reply.Text, 10, 64)
		sound = err == nil && strconv.FormatInt(n, 10) == reply.Text
	case '#':
		sound = reply.Text == "t" || reply.Text == "f"
	case ',':
		_, err := strconv.ParseFloat(reply.Text, 64)
		sound = err == nil
	case '(':
		sound = reply.Text != "" && strings.Trim(reply.Text, "-0123456789") == ""
	}
	if !sound {
		return fmt.Errorf("%w: number %c%s", ErrProtocol, reply.Kind, reply.Text)
	}
	return nil
}

// length parses an announced length; -1 stands for null where RESP2 has one.
func (reply *Reply) length() (int, error) {
	n, err := strconv.Atoi(reply.Text)
	nullable := reply.Kind == '$' || reply.Kind == '*'
	if err != nil || strconv.Itoa(n) != reply.Text || n > maxLength || n < -1 || n == -1 && !nullable {
		return 0, fmt.Errorf("%w: length %c%s", ErrProtocol, reply.Kind, reply.Text)
	}
	return n, nil
}

func (reply *Reply) readBulk(r *bufio.Reader, raw *bytes.Buffer) error {
	n, err := reply.length()
	if err != nil {
		return err
	}
	reply.Text = ""
	if n < 0 {
		reply.Null = true
		return nil
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	raw.Write(text)
	if string(text[n:]) != "\r\n" {
		return fmt.Errorf("%w: %q after a bulk string of %d bytes", ErrProtocol, text[n:], n)
	}
	reply.Text = string(text[:n])
	return nil
}

func (reply *Reply) readElements(r *bufio.Reader, raw *bytes.Buffer) error {
	n, err := reply.length()
	if err != nil {
		return err
	}
	reply.Text = ""
	if n < 0 {
		reply.Null = true
		return nil
	}
	if reply.Kind == '%' || reply.Kind == '|' {
		n *= 2
	}
	for range n {
		element, err := read(r, raw)
		if err != nil {
			return err
		}
		reply.Elements = append(reply.Elements, element)
	}
	return nil
}

// IsError reports whether the reply is an error.
func (reply Reply) IsError() bool { return reply.Kind == '-' || reply.Kind == '!' }

// Int returns the reply as a number, if it is one.
func (reply Reply) Int() (int64, bool) {
	n, err := strconv.ParseInt(reply.Text, 10, 64)
	return n, err == nil && reply.Kind == ':'
}

// What String shows: bytes of a text, and elements.
const (
	longestShown = 200
	mostShown    = 40
)

// String shows the reply in one line, for people.
func (reply Reply) String() string {
	switch {
	case reply.Null:
		return fmt.Sprintf("%c(null)", reply.Kind)
	case strings.IndexByte("*~>%|", reply.Kind) >= 0:
		var parts []string
		for _, element := range reply.Elements[:min(len(reply.Elements), mostShown)] {
			parts = append(parts, element.String())
		}
		if more := len(reply.Elements) - len(parts); more > 0 {
			parts = append(parts, fmt.Sprintf("… (%d more)", more))
		}
		return fmt.Sprintf("%c[%s]", reply.Kind, strings.Join(parts, " "))
	case len(reply.Text) > longestShown:
		return fmt.Sprintf("%c%q… (%d bytes)", reply.Kind, reply.Text[:longestShown], len(reply.Text))
	}
	return fmt.Sprintf("%c%q", reply.Kind, reply.Text)
}
