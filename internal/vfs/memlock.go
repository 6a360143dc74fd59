package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// Lock implements FS: it fails for a second holder in the same Mem. The states that Crash, Exit and Clone return have no holder.
func (m *Mem) Lock(name string) (io.Closer, error) {
	var f *memFile
	held := false
	err := m.do(Call{Op: OpLock, Name: name}, func() (err error) {
		f, err = m.findFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = m.create(name)
		}
		if held = err == nil && f.locked; held || err != nil {
			return err
		}
		f.locked = true
		m.record(f, change{op: OpTruncate})
		m.record(f, change{op: OpWrite, data: strconv.AppendInt(nil, int64(os.Getpid()), 10)})
		return nil
	})
	if held {
		return nil, &LockedError{Name: name, PID: os.Getpid()}
	}
	if err != nil {
		return nil, err
	}
	return &memLock{mem: m, file: f}, nil
}

// memLock is a held lock; closing it again releases nothing.
type memLock struct {
	mem  *Mem
	file *memFile
}

func (l *memLock) Close() error {
	l.mem.mu.Lock()
	defer l.mem.mu.Unlock()
	if l.file != nil {
		l.file.locked = false
	}
	l.file = nil
	return nil
}
