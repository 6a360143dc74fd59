package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sort"
)

// survey is what a log's directory holds, found by reading alone. Nothing in it was changed.
type survey struct {
	dir       string
	opts      Options
	bases     []uint64        // Of the stores that were listed.
	found     []*store        // Every store that was opened, by base.
	stores    []*store        // Those that make up the log, each followed by the next; the last one is the tail's.
	tail      reading         // Of the last store.
	positions *index          // Of the last store's records.
	rolling   bool            // The last but one may lack its seal: a roll or cut may have died before that was durable.
	indexes   map[uint64]bool // Bases of the index files there are.
	leftovers []string        // Files of a creation or truncation that died.
	foreign   []string        // Files that are none of the log's.
}

// surveyDir looks at a log's directory. Damage is a *CorruptError; the survey then has what was found up to it.
func surveyDir(dir string, opts Options) (*survey, error) {
	v := &survey{dir: dir, opts: opts}
	if err := v.open(); err != nil || len(v.found) == 0 {
		return v, err
	}
	err := v.identity()
	if err == nil {
		err = v.readTail(v.newest())
	}
	if err == nil {
		err = v.link(v.tail.first, true)
	}
	if err == nil {
		err = v.front()
	}
	return v, err
}

// close closes every store that was opened.
func (v *survey) close() error {
	err := closeStores(v.found)
	v.found, v.stores = nil, nil
	return err
}

// closeOthers closes the stores that don't make up the log.
func (v *survey) closeOthers() error {
	others := slices.DeleteFunc(slices.Clone(v.found), func(s *store) bool { return slices.Contains(v.stores, s) })
	v.found = v.stores
	return closeStores(others)
}

// list sorts the directory's names by what they are.
func (v *survey) list() error {
	entries, err := v.opts.FS.List(v.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	v.indexes = map[uint64]bool{}
	for _, entry := range entries {
		storeBase, isStore := parseName(entry.Name, storeSuffix)
		indexBase, isIndex := parseName(entry.Name, indexSuffix)
		switch {
		case entry.Dir && joinName(v.dir, entry.Name) == v.opts.QuarantineDir:
		case isStore && !entry.Dir:
			v.bases = append(v.bases, storeBase)
		case isIndex && !entry.Dir:
			v.indexes[indexBase] = true
		case isTemporary(entry.Name) && !entry.Dir:
			v.leftovers = append(v.leftovers, entry.Name)
		default:
			v.foreign = append(v.foreign, entry.Name)
		}
	}
	slices.Sort(v.bases)
	return err
}

// open opens every store that there is and checks that it has the name that its header says. It refuses a log all of whose stores
// are gone while indexes are there: a new log would hide the loss.
func (v *survey) open() error {
	if err := v.list(); err != nil {
		return err
	}
	for _, base := range v.bases {
		s, err := v.openStore(base)
		if err != nil {
			return err
		}
		v.found = append(v.found, s)
		if s.head.base != base {
			return corrupt(s.path, headBaseAt, base, fmt.Errorf("the header says that its first offset is %d", s.head.base))
		}
	}
	if len(v.found) == 0 && len(v.indexes) > 0 {
		return v.missing(slices.Min(slices.Collect(maps.Keys(v.indexes))))
	}
	return nil
}

func (v *survey) openStore(base uint64) (*store, error) {
	return openStore(v.opts.FS, joinName(v.dir, storeName(base)), v.opts.ReadOnly)
}

// missing is the damage of a log that lacks the segment with this base.
func (v *survey) missing(base uint64) error {
	return corrupt(joinName(v.dir, storeName(base)), 0, base, errors.New("the segment is missing"))
}

// identity refuses a store of another log, naming the one whose identity most others don't share.
func (v *survey) identity() error {
	count := map[[16]byte]int{}
	var most [16]byte
	for _, s := range v.found {
		if count[s.head.id]++; count[s.head.id] > count[most] {
			most = s.head.id
		}
	}
	for _, s := range v.found {
		if s.head.id != most {
			return corrupt(s.path, headIDAt, s.head.base, fmt.Errorf("it belongs to log %x, the others to %x", s.head.id, most))
		}
	}
	return nil
}

// newer orders stores by when they came to be: each cut or reset begins a generation, and within one the bases grow.
func newer(a, b *store) int {
	return cmp.Or(cmp.Compare(a.head.generation, b.head.generation), cmp.Compare(a.head.base, b.head.base))
}

func (v *survey) newest() *store { return slices.MaxFunc(v.found, newer) }

// readTail reads the last store and judges its end (docs/design.md, the recovery rule).
func (v *survey) readTail(last *store) (err error) {
	v.stores, v.positions = []*store{last}, &index{anchored: true}
	if v.tail, err = last.read(wholeFile, v.positions); err != nil {
		return err
	}
	t := &v.tail
	last.cutAt(t.end, t.next, t.chain)
	last.recordEnd, last.proven = t.recordEnd, t.proven
	last.sealed.Store(t.seal != 0)
	return last.judgeEnd(t, v.index(last))
}

// link finds the stores that make up the log: the last, the one that it was made to follow, and so on up to the one with the first
// offset. If checked, each is a copy of that store that ends where the next one follows.
func (v *survey) link(first uint64, checked bool) error {
	bySalt := map[uint64][]*store{}
	for _, s := range v.found {
		bySalt[s.head.salt] = append(bySalt[s.head.salt], s)
	}
	defer func() { slices.Reverse(v.stores) }()
	for next := v.stores[0]; next.head.base > first && len(bySalt[next.head.prevSalt]) > 0; {
		copies := bySalt[next.head.prevSalt]
		s, err := copies[0], error(nil)
		if newer(s, next) >= 0 {
			return corrupt(next.path, headPrevSaltAt, next.head.base, fmt.Errorf("it was made to follow %s, which is newer", s.path))
		}
		if checked {
			s, err = v.before(next, copies)
		}
		if err != nil {
			return err
		}
		v.stores = append(v.stores, s)
		next = s
	}
	return nil
}

// before returns the first of the copies of a store that ends where the next one follows.
func (v *survey) before(next *store, copies []*store) (*store, error) {
	var failed error
	for _, s := range copies {
		err := v.checkEnd(s, next)
		if err == nil {
			s.endWith(next)
			return s, nil
		}
		failed = cmp.Or(failed, err)
	}
	return nil, failed
}

// index returns what a store's index file says, nothing where there is none.
func (v *survey) index(s *store) indexHead {
	head, file, err := openIndexFile(v.opts.FS, s)
	if err == nil {
		_ = file.Close() // It was read already.
	}
	return head
}

// front refuses a log that lacks its first segment, and leaves out what a truncation or cut was taking away when it died.
func (v *survey) front() error {
	first := v.tail.first
	for _, s := range slices.Backward(v.found) {
		if !slices.Contains(v.stores, s) && s.head.base >= first && !v.isSuperseded(s) {
			return v.wrongNeighbour(s)
		}
	}
	if base := v.stores[0].head.base; base != first {
		return corrupt(joinName(v.dir, storeName(first)), 0, first, fmt.Errorf("the segment is missing; the log now begins at %d", base))
	}
	return v.drop()
}

// isSuperseded reports whether a segment of the log took the place of a store, by a cut or reset.
func (v *survey) isSuperseded(s *store) bool {
	if first := v.stores[0].head; first.prevSalt == 0 && first.generation > s.head.generation {
		return true
	}
	return slices.ContainsFunc(v.stores, func(by *store) bool {
		return by.head.generation > s.head.generation && by.head.base <= s.head.base
	})
}

// drop takes down which stores are left over, and the indexes without a store. An index is removed before its store, so one whose
// store the log lacks is damage.
func (v *survey) drop() error {
	for _, s := range v.found {
		if !slices.Contains(v.stores, s) {
			v.leftovers = append(v.leftovers, storeName(s.head.base))
		}
	}
	for _, base := range slices.Sorted(maps.Keys(v.indexes)) {
		i := slices.IndexFunc(v.found, func(s *store) bool { return s.head.base == base })
		switch {
		case i < 0 && base >= v.tail.first:
			return v.missing(base)
		case i < 0 || !slices.Contains(v.stores, v.found[i]):
			v.leftovers = append(v.leftovers, indexName(base))
		}
	}
	sort.Strings(v.leftovers)
	return nil
}

// wrongNeighbour says which segment is at fault where a store has no place in the log: one between it and the next that is
// missing, or the store itself.
func (v *survey) wrongNeighbour(s *store) error {
	i := slices.IndexFunc(v.stores, func(next *store) bool { return next.head.base > s.head.base })
	if i < 0 {
		return corrupt(s.path, headSaltAt, s.head.base, errors.New("nothing in the log leads to it"))
	}
	next := v.stores[i]
	r, err := s.read(wholeFile, nil)
	if err != nil {
		return err
	}
	if r.seal == kindRolled && r.next < next.head.base {
		return v.missing(r.next)
	}
	return corrupt(s.path, headSaltAt, s.head.base, fmt.Errorf("it is not the segment that %s was made to follow", storeName(next.head.base)))
}

// checkEnd checks that a store has a seal where the next one follows, or an index that says so where the end was cut there. Where
// it has neither, everything before that place is read.
func (v *survey) checkEnd(s, next *store) error {
	isCut := s.head.generation != next.head.generation
	isRolling := !isCut && len(v.stores) == 1 && v.tail.isNew(next)
	v.rolling = v.rolling || isRolling
	sealErr := s.readSeal(next)
	if sealErr == nil || isCut && v.isWitnessed(s, next) {
		return nil
	}
	if !isScanStop(sealErr) {
		return fmt.Errorf("read %s at position %d: %w", s.path, next.head.prevEnd, sealErr)
	}
	r, err := s.read(next.head.prevEnd, nil)
	if err != nil {
		return err
	}
	if err := s.judgeSealed(&r, next); err != nil {
		return err
	}
	if !isRolling && !isCut {
		return corrupt(s.path, r.end, r.next, fmt.Errorf("the seal: %w", sealErr))
	}
	return nil
}

// isWitnessed reports whether a store's index says that it was durable up to where the next one follows.
func (v *survey) isWitnessed(s, next *store) bool {
	size, err := s.file.Size()
	head := v.index(s)
	return err == nil && size >= next.head.prevEnd && head.nextSalt == next.head.salt &&
		head.end == next.head.prevEnd && head.chain == next.head.prevChain
}

func closeStores(stores []*store) error {
	return each(stores, func(s *store) error { return s.file.Close() })
}

// each calls a function for every one, and joins the errors.
func each[T any](list []T, do func(T) error) error {
	var errs []error
	for _, one := range list {
		errs = append(errs, do(one))
	}
	return errors.Join(errs...)
}
