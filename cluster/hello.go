package cluster

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// The handshake of two nodes, after that of TLS: the caller says hello, the other answers, and from then on the connection is the caller's
// purpose's.
//
//	hello:  "walnut" version(1) purpose(1) cluster(16) size(1) caller's identity, size(1) that of the node which is called, empty for any
//	answer: verdict(1) size(1) answering node's identity
const (
	helloMagic   = "walnut"
	helloVersion = 1
)

// purpose is what a connection is for.
type purpose byte

const (
	forRaft    purpose = 'r'
	forCalls   purpose = 'c'
	forProgram purpose = 'p'
)

// The verdicts.
const (
	verdictWelcome = iota
	verdictVersion
	verdictCluster
	verdictNode
	verdictUnserved
)

// errUnserved reports that the node which was called has nothing that serves the purpose: not yet, or not at all.
var errUnserved = errors.New("the node doesn't serve such connections now")

// hello is what a caller says.
type hello struct {
	purpose purpose
	cluster [16]byte
	from    string
	to      string // Empty where any node will do.
}

func (h *hello) encode() []byte {
	text := append([]byte(helloMagic), helloVersion, byte(h.purpose))
	text = append(text, h.cluster[:]...)
	text = appendName(text, h.from)
	return appendName(text, h.to)
}

// appendName appends an identity, of which nodes have none over 255 bytes.
func appendName(text []byte, name string) []byte {
	return append(append(text, byte(len(name))), name...)
}

var errHello = errors.New("the other end doesn't say hello as a node does")

// readHello reads what a caller says, and what is wrong with that.
func readHello(from io.Reader) (h hello, verdict byte, err error) {
	var head [len(helloMagic) + 2 + len(h.cluster)]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return h, 0, err
	}
	rest := head[len(helloMagic):]
	switch {
	case string(head[:len(helloMagic)]) != helloMagic:
		return h, 0, errHello
	case rest[0] != helloVersion:
		return h, verdictVersion, nil
	}
	h.purpose, h.cluster = purpose(rest[1]), [16]byte(rest[2:])
	if h.from, err = readName(from); err == nil {
		h.to, err = readName(from)
	}
	return h, verdictWelcome, err
}

func readName(from io.Reader) (string, error) {
	var size [1]byte
	if _, err := io.ReadFull(from, size[:]); err != nil {
		return "", err
	}
	name := make([]byte, size[0])
	_, err := io.ReadFull(from, name)
	return string(name), err
}

// receive answers a caller, of whose purpose it is known whether that is served. The error says why it was refused.
func receive(conn io.ReadWriter, cluster [16]byte, node string, serves func(purpose) bool) (hello, error) {
	h, verdict, err := readHello(conn)
	if err != nil {
		return h, err
	}
	switch {
	case verdict != verdictWelcome:
	case h.cluster != cluster:
		verdict = verdictCluster
	case h.to != "" && h.to != node:
		verdict = verdictNode
	case !serves(h.purpose):
		verdict = verdictUnserved
	}
	if verdict == verdictCluster {
		node = "" // Nothing is said to strangers.
	}
	if _, err := conn.Write(appendName([]byte{verdict}, node)); err != nil {
		return h, err
	}
	return h, refusal(verdict, h.to, node)
}

// greet says hello and returns the name of the node that answers.
func greet(conn io.ReadWriter, h hello) (node string, err error) {
	if _, err := conn.Write(h.encode()); err != nil {
		return "", err
	}
	var verdict [1]byte
	if _, err := io.ReadFull(conn, verdict[:]); err != nil {
		return "", err
	}
	if node, err = readName(conn); err != nil {
		return "", err
	}
	return node, refusal(verdict[0], h.to, node)
}

// refusal is the error that a verdict stands for.
func refusal(verdict byte, wanted, node string) error {
	switch verdict {
	case verdictWelcome:
		return nil
	case verdictVersion:
		return fmt.Errorf("%w: the nodes speak different versions", ErrPeer)
	case verdictCluster:
		return fmt.Errorf("%w: the nodes are of different clusters", ErrPeer)
	case verdictNode:
		return fmt.Errorf("%w: the node is %q, not %q", ErrPeer, node, wanted)
	case verdictUnserved:
		return errUnserved
	}
	return fmt.Errorf("%w: verdict %d", ErrPeer, verdict)
}

// A node's address in the consensus names the node, too, so that any node which connects to it can see whether that is the right one.

// placed returns a node's address as the consensus has it. The node is its identity.
func placed(node, address string) string { return node + "@" + address }

// parted is the inverse of placed. The node is empty where the address names none.
func parted(place string) (node, address string) {
	if i := strings.LastIndex(place, "@"); i >= 0 {
		return place[:i], place[i+1:]
	}
	return "", place
}
