package kv

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Member says whose data a replica holds. It is fixed when the replica's directory is made.
type Member struct {
	// Cluster is the identity of the cluster, the same on all of its nodes, and not zero. It is in the header of every log and snapshot, so
	// that those of another cluster are refused.
	Cluster [16]byte
	// Node is the node's name in the cluster: 1 to 255 bytes of printable UTF-8. No two nodes have the same.
	Node string
}

// nodeSizeMax is how many bytes a node's name has at most.
const nodeSizeMax = 255

func (m *Member) check() error {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case m.Cluster == [16]byte{}:
		return errors.New("kv: member: the cluster's identity is zero")
	case len(m.Node) == 0 || len(m.Node) > nodeSizeMax:
		return fmt.Errorf("kv: member: the node's name has %d bytes, not 1 to %d", len(m.Node), nodeSizeMax)
	case !utf8.ValidString(m.Node) || strings.ContainsFunc(m.Node, unprintable):
		return fmt.Errorf("kv: member: the node's name %q is not printable UTF-8", m.Node)
	}
	return nil
}

// The file REPLICA: see docs/format.md.
const (
	memberTitle = "walnut replica 1"
	memberLines = memberTitle + "\ncluster %x\nnode %s\n"
	memberMax   = 1 << 10 // More bytes than the file has.
)

func (m *Member) encode() []byte { return sealed(fmt.Sprintf(memberLines, m.Cluster, m.Node)) }

// parseMember is the inverse of encode.
func parseMember(text []byte) (m Member, err error) {
	lines, err := unsealed(text, memberTitle)
	if err != nil {
		return m, err
	}
	if len(lines) == 2 {
		id, _ := strings.CutPrefix(lines[0], "cluster ")
		if len(id) == hex.EncodedLen(len(m.Cluster)) {
			_, err = hex.Decode(m.Cluster[:], []byte(id))
		}
		m.Node = strings.TrimPrefix(lines[1], "node ")
	}
	if err = errors.Join(err, m.check()); err == nil && !bytes.Equal(m.encode(), text) {
		err = errSeal
	}
	return m, err
}

// join makes sure that the store in a directory is the member's, and says so in a new one. Without a member it reports whether the store
// is a replica. The caller has the store's lock, unless it only reads.
func (m *Member) join(dir string, opts Options) (replicated bool, err error) {
	path := filepath.Join(dir, replicaName)
	if m == nil {
		return isReplica(dir, opts)
	}
	text, err := readSmall(opts.fs, path, memberMax)
	if errors.Is(err, fs.ErrNotExist) {
		return true, vfs.WriteAs(opts.fs, path, bytes.NewReader(m.encode()), true)
	}
	if err != nil {
		return true, err
	}
	held, err := parseMember(text)
	switch {
	case errors.Is(err, ErrVersion):
		return true, err
	case err != nil:
		return true, &CorruptError{Path: path, Err: err}
	case held.Cluster != m.Cluster:
		return true, fmt.Errorf("%w: of the cluster %x, not %x", ErrReplica, held.Cluster, m.Cluster)
	case held.Node != m.Node:
		return true, fmt.Errorf("%w: of the node %q, not %q", ErrReplica, held.Node, m.Node)
	}
	return true, nil
}

// isReplica reports whether the store in a directory is a replica.
func isReplica(dir string, opts Options) (bool, error) {
	entries, err := opts.fs.List(dir)
	return hasName(entries, replicaName), ignoreMissing(err)
}

// isReplicas reports whether a name in a store's directory is there only in a replica.
func isReplicas(name string) bool {
	name = strings.TrimSuffix(name, vfs.TemporarySuffix)
	return name == replicaName || name == installingName
}

func hasName(entries []vfs.Entry, name string) bool {
	return slices.ContainsFunc(entries, func(e vfs.Entry) bool { return e.Name == name })
}

// checkReplica refuses a directory that may not be opened in the way that the options say.
func checkReplica(entries []vfs.Entry, opts Options) error {
	switch held := hasName(entries, replicaName); {
	case opts.member != nil && !held && hasName(entries, walName):
		return plainError{}
	case opts.member != nil || !held:
		return nil
	case !opts.ReadOnly:
		return fmt.Errorf("%w: only its cluster writes to it; open it for reading, or as a member", ErrReplica)
	case opts.Follow:
		return fmt.Errorf("%w: a replica can't be followed; open it for reading without", ErrReplica)
	case hasName(entries, installingName):
		return fmt.Errorf("%w: a snapshot is being installed, or that was not finished; the node finishes it when it is opened", ErrReplica)
	}
	return nil
}

// plainError is the ErrReplica of a plain store that was to be opened as a replica. ErrReplica's own text would say the opposite.
type plainError struct{}

func (plainError) Error() string {
	return "kv: the directory holds a plain store, which no member of a cluster opens; restore a backup of it into a new cluster"
}

func (plainError) Is(target error) bool { return target == ErrReplica }

// readSmall returns a file's bytes, of which there must be no more than most.
func readSmall(fsys vfs.FS, path string, most int64) ([]byte, error) {
	file, err := fsys.OpenRead(path)
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err == nil && size > most {
		err = &CorruptError{Path: path, Err: fmt.Errorf("the file has %d bytes, at most %d", size, most)}
	}
	var text []byte
	if err == nil {
		text = make([]byte, size)
		_, err = io.ReadFull(io.NewSectionReader(file, 0, size), text)
	}
	return text, errors.Join(err, file.Close())
}
