package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/walnutkv/walnut/internal/vfs"
)

// Fix is a change to a damaged log that loses nothing: a file gets its own name again, a flipped bit is turned back, or a seal or header, all
// of which is known, is written again.
type Fix struct {
	Path     string
	To       string // The file's own name, with the directory; empty where bytes change.
	Position int64  // Where bytes change, and to what.
	Bytes    []byte
	Why      string
}

// The limits of what a Fix turns back. A checksum of 32 bits finds the flipped bit in a payload, but other damage passes for one flipped bit
// with a chance of one in 2^32 a bit: of one in 130,000 in 4 KiB.
const (
	flipBytesMax = 4 << 10
	fixesMax     = 64
	fixRounds    = 8 // How often the log is read: what one round mends may show the next one more.
)

// movedSuffix is the end of the name of a store that waits for its own name while files that were swapped are moved.
const movedSuffix = ".moved"

// Fix finds what can be mended without a loss, and returns it in the order in which it must be done. From then on the log is
// read as it would be afterwards.
func (s *Salvage) Fix() ([]Fix, error) {
	for round := 0; round < fixRounds; round++ {
		known := len(s.fixes)
		err := s.fixNames()
		if err == nil {
			err = s.fixHeaders()
		}
		if err == nil {
			err = s.look()
		}
		if err == nil && len(s.parts) > 0 {
			w := &walk{Salvage: s, yield: func(Piece) bool { return true }, mend: s.fixFrame}
			err = w.run()
		}
		if err != nil {
			return nil, fmt.Errorf("look for what can be mended in %s: %w", s.log.dir, err)
		}
		if len(s.fixes) == known {
			break
		}
		if err := s.look(); err != nil {
			return nil, err
		}
	}
	return s.fixes, nil
}

// add adds a fix.
func (s *Salvage) add(f Fix) {
	s.fixes = append(s.fixes, f)
	if f.To != "" {
		s.mended.move(f.Path, f.To)
		return
	}
	f.Path = s.mended.real(f.Path)
	s.mended.patches[f.Path] = append(s.mended.patches[f.Path], f)
}

// fixNames gives stores the names that their headers ask for. Where each has the other's name, one gets a temporary name first: a log that
// lacks a segment meanwhile is refused, so a repair that dies in between is gone on with.
func (s *Salvage) fixNames() error {
	own, err := s.ownNames()
	if err != nil {
		return err
	}
	for len(own) > 0 {
		names := make([]string, 0, len(own))
		for name := range own {
			names = append(names, name)
		}
		sort.Strings(names)
		isFree := func(name string) bool { return !s.mended.exists(own[name]) }
		i := slices.IndexFunc(names, isFree)
		if i < 0 {
			i = slices.IndexFunc(names, func(name string) bool { return own[own[name]] != "" })
		}
		if i < 0 {
			return nil // Each one's place is taken by a file that belongs there.
		}
		name, to := names[i], own[names[i]]
		delete(own, name)
		if s.mended.exists(to) {
			own[to+movedSuffix], to = to, to+movedSuffix
		}
		s.add(Fix{Path: name, To: to, Why: "the header says that this is the file's name"})
	}
	return nil
}

// ownNames returns the stores that have another name than their headers ask for, and that name.
func (s *Salvage) ownNames() (map[string]string, error) {
	entries, err := s.mended.List(s.log.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	own := map[string]string{}
	for _, entry := range entries {
		if _, isStore := parseName(strings.TrimSuffix(entry.Name, movedSuffix), storeSuffix); !isStore || entry.Dir {
			continue
		}
		path := joinName(s.log.dir, entry.Name)
		opened, err := openStore(s.mended, path, true)
		if errors.Is(err, ErrCorrupt) {
			continue
		}
		if err == nil {
			err = opened.file.Close()
		}
		if err != nil {
			return nil, err
		}
		if want := joinName(s.log.dir, storeName(opened.head.base)); want != path {
			own[path] = want
		}
	}
	return own, nil
}

// fixHeaders turns back the one bit that is wrong in a store's header, or makes the header again.
func (s *Salvage) fixHeaders() error {
	for i, p := range s.parts {
		if p.store != nil || p.size < headSize || len(s.fixes) >= fixesMax {
			continue
		}
		encoded, err := s.readBytes(p.path, headSize)
		if err != nil {
			return err
		}
		checks := func() bool {
			head, err := decodeStoreHead(encoded)
			return err == nil && head.base == p.base
		}
		if at, ok := turnOne(encoded, checks); ok {
			s.add(flipped(p.path, int64(at), encoded[at]))
		} else if err := s.rebuildHeader(i); err != nil {
			return err
		}
	}
	return nil
}

func (s *Salvage) readBytes(path string, n int) ([]byte, error) {
	file, err := s.mended.OpenRead(path)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	n, err = file.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], errors.Join(err, file.Close())
}

func flipped(path string, position int64, is byte) Fix {
	return Fix{Path: path, Position: position, Bytes: []byte{is}, Why: "one bit of this byte was flipped: turned back, it makes the checksums right"}
}

// turnOne turns one bit after the other, and leaves the first one turned with which the bytes check out.
func turnOne(b []byte, checks func() bool) (at int, ok bool) {
	for at := range b {
		for bit := range 8 {
			b[at] ^= 1 << bit
			if checks() {
				return at, true
			}
			b[at] ^= 1 << bit
		}
	}
	return 0, false
}

// fixFrame turns back the one bit that is wrong in a frame.
func (s *Salvage) fixFrame(p *part, sc *scanner) (bool, error) {
	if len(s.fixes) >= fixesMax {
		return false, nil
	}
	encoded, err := sc.view(sc.position, frameHeadSize)
	if err != nil || len(encoded) < frameHeadSize {
		return false, err
	}
	encoded = slices.Clone(encoded)
	head, err := decodeFrameHead(encoded, sc.saltSum, sc.position)
	position, is := int64(0), byte(0)
	if err == nil {
		whole, err := sc.view(sc.position, int(min(head.size(), flipBytesMax+1)))
		if err != nil || head.size() > flipBytesMax || int64(len(whole)) < head.size() || head.offset(sc.base) != sc.next {
			return false, err
		}
		at, bit, ok := flippedIn(whole[frameHeadSize:], head.sum)
		if !ok {
			return false, nil
		}
		position, is = sc.position+frameHeadSize+int64(at), whole[frameHeadSize+at]^bit
	} else {
		at, ok := turnOne(encoded, func() bool { return s.checksOut(encoded, sc) })
		if !ok {
			return false, nil
		}
		position, is = sc.position+int64(at), encoded[at]
	}
	s.add(flipped(p.path, position, is))
	return true, nil
}

// checksOut reports whether a header makes a whole frame with the payload that stands after the scanner's position.
func (s *Salvage) checksOut(encoded []byte, sc *scanner) bool {
	head, err := decodeFrameHead(encoded, sc.saltSum, sc.position)
	if err != nil || head.offset(sc.base) != sc.next || head.size() > sc.limit-sc.position {
		return false
	}
	whole, err := sc.view(sc.position, int(head.size()))
	return err == nil && int64(len(whole)) == head.size() && payloadSumPadded(whole[frameHeadSize:]) == head.sum
}

// flippedIn returns the byte and bit of which the turning gives the bytes that checksum. A flipped bit changes the checksum by what depends
// on its place alone.
func flippedIn(b []byte, sum uint32) (at int, bit byte, ok bool) {
	change := crc32.Checksum(b, castagnoli) ^ sum
	var of [8]uint32 // The change by each bit of a byte.
	for i := range of {
		of[i] = castagnoli[1<<i]
	}
	for at := len(b) - 1; at >= 0; at-- {
		for i := range of {
			if of[i] == change {
				return at, 1 << i, true
			}
			of[i] = castagnoli[byte(of[i])] ^ of[i]>>8
		}
	}
	return 0, 0, false
}

// mendSeal writes a roll's seal again: the next segment's header says all that was in it.
func (w *walk) mendSeal(p *part, next *store) {
	payload := bounds{first: w.first, chain: next.head.prevChain}.encode()
	if w.first > next.head.base {
		return
	}
	head := frameHead{
		kind: kindRolled, length: boundsSize, sum: payloadSum(payload[:]), index: uint32(next.head.base - p.base),
		back: uint32((next.head.prevEnd - headSize) / frameAlign),
	}
	seal := append(head.appendTo(nil, p.store.saltSum, next.head.prevEnd), payload[:]...)
	w.add(Fix{Path: p.path, Position: next.head.prevEnd, Bytes: seal, Why: "the seal is damaged, and the next segment says all that was in it"})
}

// mendedFS shows a file system as it would be after some fixes. It is for reading.
type mendedFS struct {
	vfs.FS

	names   map[string]string // Of files that were moved: the real name, or "" for a name that is gone.
	patches map[string][]Fix  // By real name.
}

func newMendedFS(fsys vfs.FS) *mendedFS {
	return &mendedFS{FS: fsys, names: map[string]string{}, patches: map[string][]Fix{}}
}

func (m *mendedFS) real(name string) string {
	if real, moved := m.names[name]; moved {
		return real
	}
	return name
}

func (m *mendedFS) move(from, to string) {
	m.names[to] = m.real(from)
	m.names[from] = ""
}

func (m *mendedFS) exists(name string) bool {
	file, err := m.OpenRead(name)
	if err != nil {
		return false
	}
	_ = file.Close() // It was not read.
	return true
}

// OpenRead opens a file as it would be.
func (m *mendedFS) OpenRead(name string) (vfs.File, error) {
	real := m.real(name)
	if real == "" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	file, err := m.FS.OpenRead(real)
	if err != nil {
		return nil, err
	}
	return &mendedFile{file, m, real}, nil
}

// List returns the names that there would be.
func (m *mendedFS) List(dir string) ([]vfs.Entry, error) {
	entries, err := m.FS.List(dir)
	if err != nil || len(m.names) == 0 {
		return entries, err
	}
	sizes := map[string]int64{}
	for _, e := range entries {
		sizes[joinName(dir, e.Name)] = e.Size
	}
	entries = slices.DeleteFunc(entries, func(e vfs.Entry) bool { _, moved := m.names[joinName(dir, e.Name)]; return moved })
	for name, real := range m.names {
		if real != "" && filepath.Dir(name) == filepath.Clean(dir) {
			entries = append(entries, vfs.Entry{Name: filepath.Base(name), Size: sizes[real]})
		}
	}
	slices.SortFunc(entries, func(a, b vfs.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// mendedFile is a file some of whose bytes would be others.
type mendedFile struct {
	vfs.File

	of   *mendedFS
	name string
}

// ReadAt reads the bytes as they would be.
func (f *mendedFile) ReadAt(p []byte, position int64) (n int, err error) {
	n, err = f.File.ReadAt(p, position)
	for _, patch := range f.of.patches[f.name] {
		for i, b := range patch.Bytes {
			if at := patch.Position + int64(i) - position; at >= 0 && at < int64(n) {
				p[at] = b
			}
		}
	}
	return n, err
}
