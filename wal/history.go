package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/walnutkv/walnut/internal/vfs"
)

// history gathers the segments of several directories into one survey, which is then judged as that of a log is.
type history struct {
	opts   Options
	parts  []*part
	merged *survey
}

// part is what one directory holds. A log's has an active segment, an archive's hasn't.
type part struct {
	*survey
	live bool
}

// open surveys the directories, from the first to the last or backwards, and makes one archive of what they hold.
func (h *history) open(dirs []string, backwards bool) (*Archive, error) {
	h.parts, h.merged = make([]*part, len(dirs)), newSurvey("", h.opts)
	for i := range dirs {
		h.parts[i] = &part{survey: newSurvey(dirs[i], h.opts)}
	}
	for i := range dirs {
		if backwards {
			i = len(dirs) - 1 - i
		}
		if err := h.parts[i].look(h.opts); err != nil {
			return nil, err
		}
	}
	h.parts = slices.DeleteFunc(h.parts, func(p *part) bool { return len(p.found) == 0 })
	if len(h.parts) == 0 {
		return nil, fmt.Errorf("there is no segment: %w", fs.ErrNotExist)
	}
	// Where two directories have the same segment, the archive's is taken: nothing is about to remove it.
	slices.SortStableFunc(h.parts, func(a, b *part) int { return cmp.Compare(liveness(a), liveness(b)) })
	return h.judge()
}

func liveness(p *part) int {
	if p.live {
		return 1
	}
	return 0
}

// close closes every file.
func (h *history) close() error {
	var errs []error
	for _, p := range h.parts {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// look surveys one directory. Its newest segment says what it is: an archive's was followed by another one when it came there, a
// log's is the active one. What an archive has is opened only while it is read; a log's files are held open, so that they may be
// truncated.
func (p *part) look(opts Options) error {
	if _, err := opts.FS.List(p.dir); err != nil {
		return err // Unlike a log that is to be opened, it must be there.
	}
	bases, err := p.names("")
	if err != nil {
		return err
	}
	if len(bases) == 0 {
		return p.orphans()
	}
	held := p.fs
	p.fs = vfs.Cold(held)
	if err := p.open(bases); err != nil {
		return err
	}
	if err := errors.Join(p.identity(), p.link()); err != nil {
		return err
	}
	if err = p.readTail(); p.tail.seal == kindRolled {
		return p.follower(err)
	}
	if err != nil {
		return err
	}
	p.live = true
	p.dropBroken()
	return p.hold(held)
}

// follower refuses a directory that is a log's, since it has indexes, or has the next segment by now, and lacks segments after its
// last one: they are gone, or a live writer has rolled since.
func (p *part) follower(missing error) error {
	if len(p.indexes) > 0 {
		return missing
	}
	_, err := openStore(p.fs, joinName(p.dir, storeName(p.tail.next)), true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return missing
}

// dropBroken leaves out what a truncation that died was taking from a log, where it no longer leads to the rest. What does is as
// good as any.
func (p *part) dropBroken() {
	p.found = slices.DeleteFunc(p.found, func(s *store) bool {
		return !slices.Contains(p.stores, s) && (s.head.base < p.tail.first || p.isSuperseded(s))
	})
}

// hold opens the files for as long as the survey is used. One that has been replaced since it was looked at is damage,
// unless it is a live writer's work, which the next try finds finished.
func (p *part) hold(fsys vfs.FS) error {
	for _, s := range p.found {
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

// judge makes one history of the segments, and an archive of that.
func (h *history) judge() (*Archive, error) {
	v := h.merged
	v.dir = h.parts[0].dir
	for _, p := range h.parts {
		v.found = append(v.found, p.found...)
	}
	slices.SortStableFunc(v.found, func(a, b *store) int { return cmp.Compare(a.head.base, b.head.base) })
	if err := errors.Join(v.identity(), h.choose()); err != nil {
		return nil, err
	}
	for _, s := range slices.Backward(v.found) {
		if s.head.base < v.stores[0].head.base && !v.isSuperseded(s) {
			return nil, v.wrongNeighbour(s)
		}
	}
	for _, p := range h.parts {
		if p.live && p.tail.first < v.stores[0].head.base {
			return nil, p.missing(p.tail.first)
		}
	}
	return &Archive{stores: v.stores}, v.closeOthers()
}

// choose takes each segment from a directory that has all of it: the newest, the one that it follows, and so on to the front. Of
// the newest the most is taken.
func (h *history) choose() error {
	v := h.merged
	bySalt := map[uint64][]*store{}
	for _, s := range v.found {
		bySalt[s.head.salt] = append(bySalt[s.head.salt], s)
	}
	var last *store
	for _, s := range bySalt[slices.MaxFunc(v.found, newer).head.salt] {
		if last == nil {
			last = s
			continue
		}
		less, err := last.hasLess(s)
		if err != nil {
			return err
		}
		if less {
			last = s
		}
	}
	v.stores = []*store{last}
	if err := v.readTail(); err != nil && v.tail.seal != kindRolled {
		return err
	}
	for next := last; len(bySalt[next.head.prevSalt]) > 0; next = v.stores[0] {
		mayLackSeal := next == last && v.tail.isNew(next)
		prev, err := v.before(next, bySalt[next.head.prevSalt], mayLackSeal)
		if err != nil {
			return err
		}
		v.stores = slices.Insert(v.stores, 0, prev)
	}
	return nil
}

// before returns the first of the files with the same segment that ends where the next one follows.
func (v *survey) before(next *store, copies []*store, mayLackSeal bool) (*store, error) {
	var errs []error
	for _, s := range copies {
		err := v.checkEnd(s, next, mayLackSeal && s.head.generation == next.head.generation)
		if newer(s, next) >= 0 {
			err = corrupt(next.path, headPrevSaltAt, next.head.base, fmt.Errorf("it was made to follow %s, which is newer", s.path))
		}
		if err == nil {
			s.endWith(next)
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errs[0]
}

// hasLess compares two files that have the newest segment, and reports whether this one has less of it than the other. Each must
// begin with all that the other has, or they are not the same segment: the chain vouches for that.
func (s *store) hasLess(other *store) (bool, error) {
	if s.head != other.head {
		return false, corrupt(other.path, headSaltAt, other.head.base, fmt.Errorf("it is another segment (log %x, salt %x) than %s (log %x, salt %x)",
			other.head.id, other.head.salt, s.path, s.head.id, s.head.salt))
	}
	mine, err := s.read(wholeFile, nil)
	if err != nil {
		return false, err
	}
	theirs, err := other.read(wholeFile, nil)
	if err != nil {
		return false, err
	}
	less := theirs.end > mine.end || theirs.end == mine.end && theirs.seal == kindRolled
	longer, shorter := s, theirs
	if less {
		longer, shorter = other, mine
	}
	start, err := longer.read(shorter.end, nil)
	if err == nil && (start.end != shorter.end || start.chain != shorter.chain || shorter.seal == kindRolled && mine.end != theirs.end) {
		err = corrupt(other.path, theirs.end, theirs.next, fmt.Errorf("it ends with offset %d and chain %08x, but %s has other records there",
			theirs.next-1, theirs.chain, s.path))
	}
	return less, err
}
