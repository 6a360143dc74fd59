package vfs

import (
	"errors"
	"io/fs"
	"os"
)

// Lock implements FS. The states that Crash, Exit and Clone return aren't locked.
func (m *Mem) Lock(name string) (Lock, error) {
	var l *memLock
	var locked *LockedError
	err := m.do(Call{Op: OpLock, Name: name}, func() (err error) {
		l, locked, err = m.lock(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if locked != nil {
		return nil, locked
	}
	return l, nil
}

func (m *Mem) lock(name string) (*memLock, *LockedError, error) {
	dir, _, err := m.place(name)
	if err != nil {
		return nil, nil, err
	}
	f, err := m.findFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = m.create(name)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case dir.lock == f:
		return nil, &LockedError{Name: name, PID: os.Getpid()}, nil
	case dir.lock != nil:
		return nil, &LockedError{Name: name}, nil
	}
	dir.lock = f
	m.writeHolder(f)
	l := &memLock{mem: m, dir: dir, file: f, name: name}
	m.inUse.add(l, "lock", name)
	return l, nil, nil
}

// writeHolder writes the process id into the file, or leaves it empty on a full disk.
func (m *Mem) writeHolder(f *memFile) {
	text := holder()
	if m.room(f, 0, int64(len(text))) != nil {
		text = nil
	} else {
		m.record(f, change{op: OpWrite, data: text})
	}
	m.record(f, change{op: OpTruncate, size: int64(len(text))})
}

// memLock is a held lock of a Mem.
type memLock struct {
	mem  *Mem
	dir  *memDir
	file *memFile // nil once it is closed.
	name string
}

func (l *memLock) Held() error {
	l.mem.mu.Lock()
	defer l.mem.mu.Unlock()
	if dir, _, err := l.mem.place(l.name); err != nil || dir != l.dir {
		return lockLost(l.name)
	}
	return nil
}

func (l *memLock) Close() error {
	l.mem.mu.Lock()
	defer l.mem.mu.Unlock()
	if l.file != nil {
		l.dir.lock = nil
	}
	l.file = nil
	delete(l.mem.inUse, l)
	return nil
}
