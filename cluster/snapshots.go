package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/kv"
)

// snapshots are kv's as the consensus sees them, and the one that another node sends, which waits in a file until it is installed.
type snapshots struct {
	history  *history
	watch    *watchdog
	incoming string                            // The file's path.
	start    atomic.Pointer[raft.SnapshotMeta] // Not nil while raft starts: up to where the replica has recovered.

	mu   sync.Mutex
	last *raft.SnapshotMeta // The one that is in the file, whole.
}

var _ raft.SnapshotStore = (*snapshots)(nil)

// List implements raft.SnapshotStore. While raft starts there is one, which nobody opens: so it reads and applies nothing that the
// replica has already.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	if start := s.start.Load(); start != nil {
		return []*raft.SnapshotMeta{start}, nil
	}
	return s.history.noted()
}

// Open implements raft.SnapshotStore.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	metas, err := s.history.noted()
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(s.history.ends.dir, id)
	if last := s.received(); last != nil && last.ID == id {
		metas, path = append(metas, last), s.incoming
	}
	for _, meta := range metas {
		if meta.ID != id {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			return nil, nil, fmt.Errorf("cluster: %w", err)
		}
		return meta, file, nil
	}
	return nil, nil, fmt.Errorf("cluster: no snapshot %q", id)
}

// received returns the snapshot that was received and not yet installed.
func (s *snapshots) received() *raft.SnapshotMeta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// keep notes that a snapshot was received.
func (s *snapshots) keep(meta *raft.SnapshotMeta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = meta
}

// drop removes what was received.
func (s *snapshots) drop() {
	s.keep(nil)
	_ = os.Remove(s.incoming) // Whatever is left is overwritten by the next one.
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(
	version raft.SnapshotVersion, index, term uint64, members raft.Configuration, membersIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	return &sink{snapshots: s, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprint(receivedID, term, "-", index), Index: index, Term: term,
		Configuration: members, ConfigurationIndex: membersIndex,
	}}, nil
}

// receivedID is how the name of a snapshot begins that another node has sent.
const receivedID = "received-"

// sink is where a snapshot goes: one that kv takes by itself, or the bytes of one that is received.
type sink struct {
	snapshots *snapshots
	meta      raft.SnapshotMeta
	taken     bool // The store keeps it.
	file      *os.File
}

// ID implements raft.SnapshotSink.
func (k *sink) ID() string { return k.meta.ID }

// Write implements raft.SnapshotSink. The file need not be durable: a node that dies gets the snapshot again.
func (k *sink) Write(piece []byte) (int, error) {
	if k.file == nil {
		k.snapshots.drop()
		file, err := os.OpenFile(k.snapshots.incoming, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return 0, fmt.Errorf("cluster: %w", err)
		}
		k.file = file
	}
	n, err := k.file.Write(piece)
	k.meta.Size += int64(n)
	if vfs.IsNoSpace(err) {
		err = fmt.Errorf("cluster: %w: %w", kv.ErrNoSpace, err)
		k.snapshots.watch.saw(err)
	}
	return n, err
}

// Close implements raft.SnapshotSink.
func (k *sink) Close() error {
	switch {
	case k.taken:
		return nil
	case k.file == nil:
		return errors.New("cluster: the snapshot that was received is empty")
	}
	if err := k.file.Close(); err != nil {
		return errors.Join(err, k.Cancel())
	}
	k.snapshots.keep(&k.meta)
	return nil
}

// Cancel implements raft.SnapshotSink.
func (k *sink) Cancel() error {
	if k.file != nil {
		_ = k.file.Close()
		k.snapshots.drop()
	}
	return nil
}
