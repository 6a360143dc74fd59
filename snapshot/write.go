package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/walnutkv/walnut/internal/vfs"
)

// syncBytes is the number of bytes written between two syncs. It keeps the last sync short, and keeps a sync of another file
// on the same disk from waiting for a whole snapshot.
const syncBytes = 16 << 20

// Write writes a snapshot of entries, keys and data in ascending order of the keys, to the path that Path returns for the
// header's offset. It creates the directory if it is missing. When Write returns without an error, the snapshot is durable,
// and every byte of it was read back and agreed with its checksum.
//
// After an error the snapshots in the directory are as they were. The file has a temporary name until it is durable and was
// read back, and Write removes it. If the removal fails too, the file stays for RemoveTemporary, and the error says so. A
// snapshot as of this offset that is there already is fs.ErrExist, unless Options.Replace is set. Then it stays until the
// new one takes its place. If only the last sync of the directory fails, the new one stays.
//
// When the context ends, Write stops at the next block with the context's cause. An iterator of entries that can fail
// should cancel the context with its error and end. fsys is for this module's tests; nil means the operating system's.
func Write(ctx context.Context, fsys vfs.FS, dir string, h Header, o Options, entries iter.Seq2[[]byte, []byte]) (path string, info Info, err error) {
	p := &publication{fsys: orOS(fsys), dir: dir, path: Path(dir, h.Offset), replace: o.Replace}
	if err = p.prepare(); err == nil {
		info, err = p.write(ctx, h, o, entries)
	}
	if err == nil {
		err = p.readBack(ctx, info)
	}
	if err == nil {
		err = p.publish(ctx)
	}
	if err != nil {
		return "", Info{}, errors.Join(fmt.Errorf("write snapshot %s: %w", p.path, err), p.withdraw())
	}
	return p.path, info, nil
}

// publication is a snapshot that is being written to a directory.
type publication struct {
	fsys vfs.FS
	dir  string
	path string
	left string // The path to remove if writing fails; empty while there is none.

	replace bool // Whether there may be a snapshot at the path already.
}

func (p *publication) temporary() string { return p.path + temporarySuffix }

// prepare creates the directory, and checks that the path is free unless what is there is to be replaced.
func (p *publication) prepare() error {
	if err := p.fsys.MkdirAll(p.dir); err != nil || p.replace {
		return err
	}
	found, err := p.fsys.OpenRead(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(fs.ErrExist, found.Close())
}

// write writes the temporary file and syncs it.
func (p *publication) write(ctx context.Context, h Header, o Options, entries iter.Seq2[[]byte, []byte]) (Info, error) {
	file, err := vfs.CreateTemporary(p.fsys, p.path)
	if err != nil {
		return Info{}, err
	}
	p.left = p.temporary()
	info, err := writeAll(&fileWriter{ctx: ctx, file: file}, h, o, entries)
	if err == nil {
		err = file.Sync()
	}
	return info, errors.Join(err, file.Close())
}

func writeAll(file *fileWriter, h Header, o Options, entries iter.Seq2[[]byte, []byte]) (Info, error) {
	w, err := NewWriter(file, h, o)
	if err != nil {
		return Info{}, err
	}
	for key, data := range entries {
		if err := w.Add(key, data); err != nil {
			return Info{}, err
		}
	}
	if err := w.Close(); err != nil {
		return Info{}, err
	}
	return w.Info(), nil
}

// readBack reads every byte of the temporary file and compares it with its checksums, and the whole with what was written.
func (p *publication) readBack(ctx context.Context, info Info) error {
	written, err := Open(p.fsys, p.temporary())
	if err != nil {
		return err
	}
	err = written.VerifySums(ctx)
	if err == nil && written.Info() != info {
		err = corrupt(p.temporary(), 0, errors.New("another snapshot is read back than was written"))
	}
	return errors.Join(err, written.Close())
}

// publish gives the temporary file its name.
func (p *publication) publish(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := p.fsys.Rename(p.temporary(), p.path); err != nil {
		return err
	}
	if p.left = p.path; p.replace {
		p.left = "" // Removing it would leave neither.
	}
	return p.fsys.SyncDir(p.dir)
}

// withdraw removes the unfinished file.
func (p *publication) withdraw() error {
	if p.left == "" {
		return nil
	}
	return p.fsys.Remove(p.left)
}

// fileWriter writes to a file from its start until a context ends.
type fileWriter struct {
	ctx      context.Context
	file     vfs.File
	position int64
	synced   int64 // The file is synced up to this position.
}

func (w *fileWriter) Write(data []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	n, err := w.file.WriteAt(data, w.position)
	w.position += int64(n)
	if err != nil || w.position-w.synced < syncBytes {
		return n, err
	}
	w.synced = w.position
	return n, w.file.Sync()
}
