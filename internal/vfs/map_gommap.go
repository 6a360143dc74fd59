//go:build (linux && (amd64 || arm64)) || (darwin && (amd64 || arm64))

package vfs

import (
	"os"

	"github.com/tysonmote/gommap"
)

// osMapping is a mapping by the operating system. Once closed it has no bytes, so that a late access through Bytes
// panics; one through a slice kept from before faults.
type osMapping struct {
	name string // Of the file.
	data gommap.MMap
}

func mapFile(f *os.File, size int64, readOnly bool) (Mapping, error) {
	prot := gommap.PROT_READ | gommap.PROT_WRITE
	if readOnly {
		prot = gommap.PROT_READ
	}
	data, err := gommap.MapRegion(f.Fd(), 0, size, prot, gommap.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	if readOnly {
		// Otherwise each fault reads what surrounds the page too, which may be megabytes. It is advice: nothing rests on it.
		_ = data.Advise(gommap.MADV_RANDOM)
	}
	return &osMapping{name: f.Name(), data: data}, nil
}

func (m *osMapping) ReadAt(p []byte, off int64) (int, error) {
	return readMapped(m.name, m.data, p, off, nil)
}

func (m *osMapping) Bytes() []byte { return m.data }

func (m *osMapping) Close() error {
	if m.data == nil {
		return nil
	}
	data := m.data
	m.data = nil
	return data.UnsafeUnmap()
}
