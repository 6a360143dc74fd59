package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
)

// history gathers the segments of several directories into one survey, which is then judged as that of a log is.
type history struct {
	opts   Options
	parts  []*survey // One for each directory.
	merged *survey
}

// open surveys the directories, from the first to the last or backwards, and makes one archive of what they hold.
func (h *history) open(dirs []string, backwards bool) (*Archive, error) {
	h.parts, h.merged = make([]*survey, len(dirs)), &survey{}
	for i := range dirs {
		if backwards {
			i = len(dirs) - 1 - i
		}
		part, err := surveyPart(dirs[i], h.opts)
		h.parts[i] = part
		if err != nil {
			return nil, err
		}
	}
	h.parts = slices.DeleteFunc(h.parts, func(v *survey) bool { return len(v.stores) == 0 })
	if len(h.parts) == 0 {
		return nil, fmt.Errorf("there is no segment: %w", fs.ErrNotExist)
	}
	// Where two directories have the same segment, the archive's is taken: nobody is about to remove it.
	slices.SortStableFunc(h.parts, func(a, b *survey) int { return a.liveness() - b.liveness() })
	if err := h.merge(); err != nil {
		return nil, err
	}
	return h.judge()
}

// close closes every file.
func (h *history) close() error {
	var errs []error
	for _, v := range h.parts {
		if v != nil {
			errs = append(errs, v.close())
		}
	}
	return errors.Join(errs...)
}

// surveyPart looks at one directory. Its last segment says what it is: an archive's was followed by another one when it
// came there, a log's is the active one. What an archive has is opened only while it is read; a log's files are held
// open, so that they may be truncated.
func surveyPart(dir string, opts Options) (*survey, error) {
	v := &survey{dir: dir, indexes: map[uint64]bool{}}
	if _, err := opts.FS.List(dir); err != nil {
		return v, err // Unlike a log that is to be opened, it must be there.
	}
	bases, err := v.list(opts)
	if err != nil || len(bases) == 0 {
		return v, err
	}
	held := opts.FS
	opts.FS = coldFS{held}
	if err := v.open(bases, opts); err != nil {
		return v, err
	}
	last := v.last()
	if v.tail, err = scanTail(last); v.tail.seal == kindRolled {
		return v, v.checkFollower(opts.FS, err)
	}
	if err != nil {
		return v, err
	}
	v.dropLeftovers()
	return v, v.hold(held)
}

// checkFollower refuses a directory that has indexes, so that it is a log's, and lacks segments behind its last one: the
// store that an index speaks of is gone, or a live writer has rolled since.
func (v *survey) checkFollower(fsys vfs.FS, missing error) error {
	if len(v.indexes) == 0 {
		return nil
	}
	for base := range v.indexes {
		if base >= v.tail.next {
			return missing
		}
	}
	_, err := openStore(fsys, joinName(v.dir, storeName(v.tail.next)), true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return missing
}

// dropLeftovers leaves out what a truncation that died was taking from a log's front, where not all of it is there any
// more. What is there without a gap is as good as the rest.
func (v *survey) dropLeftovers() {
	for i := len(v.stores) - 1; i > 0; i-- {
		if v.stores[i].head.base <= v.tail.first && v.stores[i].head.prevSalt != v.stores[i-1].head.salt {
			v.stores = v.stores[i:]
			return
		}
	}
}

// hold opens the files for as long as the survey is used. One that has been replaced since it was looked at is damage,
// unless it is a live writer's work, which the next try finds finished.
func (v *survey) hold(fsys vfs.FS) error {
	for _, s := range v.stores {
		file, err := fsys.OpenRead(s.path)
		if err != nil {
			return err
		}
		s.file = file
		encoded, err := readHead(file)
		if err != nil {
			return fmt.Errorf("read the header of %s: %w", s.path, err)
		}
		if len(encoded) < headSize || headChain(encoded) != s.headChain {
			return corrupt(s.path, 0, s.head.base, errors.New("it was replaced while it was being read"))
		}
	}
	return nil
}

func (v *survey) last() *store { return v.stores[len(v.stores)-1] }

// liveness is 1 for the directory of a log, 0 for an archive.
func (v *survey) liveness() int {
	if v.tail.seal == kindRolled {
		return 0
	}
	return 1
}

// merge takes each segment from the directory that has the most of it.
func (h *history) merge() error {
	chosen, from := map[uint64]*store{}, map[uint64]*survey{}
	for _, part := range h.parts {
		for _, s := range part.stores {
			base := s.head.base
			if chosen[base] == nil {
				chosen[base], from[base] = s, part
				continue
			}
			second, err := chosen[base].hasLess(s)
			if err != nil {
				return err
			}
			if second {
				chosen[base], from[base] = s, part
			}
		}
	}
	bases := slices.Sorted(maps.Keys(chosen))
	end := bases[len(bases)-1]
	h.merged.dir, h.merged.tail = h.parts[0].dir, from[end].tail
	for _, base := range bases {
		h.merged.stores = append(h.merged.stores, chosen[base])
	}
	return nil
}

// judge checks that the merged segments are one history, and makes an archive of them.
func (h *history) judge() (*Archive, error) {
	v := h.merged
	last, t := v.last(), &v.tail
	last.end, last.next, last.chain = t.end, t.next, t.chain
	last.sealed.Store(t.seal != 0)
	last.written.Store(t.end)
	if t.seal != 0 {
		last.written.Store(t.end + boundsFrameSize)
	}
	if err := v.checkIdentity(); err != nil {
		return nil, err
	}
	for _, part := range h.parts {
		if part.liveness() > 0 && part.tail.first < v.stores[0].head.base {
			return nil, part.missing(part.tail.first)
		}
	}
	if err := v.checkChain(); err != nil {
		return nil, err
	}
	stores := slices.Clone(v.stores[:v.standing()])
	return &Archive{stores: stores, last: t.last}, h.closeOthers(stores)
}

// closeOthers closes the files of those stores that were not taken.
func (h *history) closeOthers(taken []*store) error {
	isTaken := map[*store]bool{}
	for _, s := range taken {
		isTaken[s] = true
	}
	var others []*store
	for _, part := range h.parts {
		others = append(others, slices.DeleteFunc(part.stores, func(s *store) bool { return isTaken[s] })...)
	}
	return closeStores(others)
}

// hasLess compares two files that have the same segment, and reports whether this one has less of it than the other.
// Where neither has all that the other has they are not the same segment.
func (s *store) hasLess(other *store) (bool, error) {
	if s.head != other.head {
		return false, corrupt(other.path, headSaltAt, other.head.base, fmt.Errorf("it is another segment (log %x, salt %x) than %s (log %x, salt %x)",
			other.head.id, other.head.salt, s.path, s.head.id, s.head.salt))
	}
	whole, err := s.isWhole()
	if err != nil {
		return false, err
	}
	otherWhole, err := other.isWhole()
	if err != nil {
		return false, err
	}
	if otherWhole && !whole || otherWhole == whole && other.end > s.end {
		return true, other.requirePrefix(s, whole)
	}
	return false, s.requirePrefix(other, otherWhole)
}

// isWhole finds where a store's frames end, and reports whether the seal of a roll follows them.
func (s *store) isWhole() (bool, error) {
	size, err := s.file.Size()
	if err != nil {
		return false, err
	}
	sc := s.scan(size)
	sc.position = max(size-boundsFrameSize, headSize)
	if head, _, err := sc.head(sc.position); err == nil && head.kind == kindRolled {
		sc.next = head.offset(s.head.base)
		if f, err := sc.frame(); err == nil {
			if b, err := decodeBounds(f.payload); err == nil {
				s.end, s.next, s.chain = f.position, f.offset, b.chain
				return true, nil
			}
		}
	}
	seal, err := s.scanReadable()
	return seal == kindRolled, err
}

// requirePrefix refuses a store that has other frames than the ones this one begins with. Of two that are whole the
// closing chains say it.
func (s *store) requirePrefix(other *store, otherWhole bool) error {
	differs := corrupt(other.path, other.end, other.next, fmt.Errorf("it ends with offset %d and chain %08x, but %s has other records there",
		other.next-1, other.chain, s.path))
	if otherWhole {
		if s.end != other.end || s.next != other.next || s.chain != other.chain {
			return differs
		}
		return nil
	}
	sc := s.scan(s.end)
	for sc.position < other.end {
		if _, err := sc.frame(); err != nil && !isScanStop(err) {
			return fmt.Errorf("read %s at position %d: %w", s.path, sc.position, err)
		} else if err != nil {
			return differs
		}
	}
	if sc.position != other.end || sc.chain != other.chain {
		return differs
	}
	return nil
}

// coldFS opens files for reading that are open only while something is read: an archive may have more of them than a
// process may have open.
type coldFS struct{ vfs.FS }

func (c coldFS) OpenRead(name string) (vfs.File, error) { return coldFile{fs: c.FS, name: name}, nil }

// coldFile is a file that is opened anew by each call. If it is replaced in between, no frame of it checks out.
type coldFile struct {
	vfs.File // Never set: nothing but reading is asked of it.

	fs   vfs.FS
	name string
}

func (f coldFile) Close() error { return nil }

func (f coldFile) ReadAt(p []byte, position int64) (n int, err error) {
	file, err := f.fs.OpenRead(f.name)
	if err != nil {
		return 0, err
	}
	n, err = file.ReadAt(p, position)
	if closed := file.Close(); closed != nil && (err == nil || err == io.EOF) {
		err = closed
	}
	return n, err
}

func (f coldFile) Size() (int64, error) {
	file, err := f.fs.OpenRead(f.name)
	if err != nil {
		return 0, err
	}
	size, err := file.Size()
	return size, errors.Join(err, file.Close())
}
