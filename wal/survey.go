package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sort"

	"github.com/walnutkv/walnut/internal/vfs"
)

// survey is what a log's directory holds, found by reading alone. Nothing in it was changed.
type survey struct {
	dir       string
	fs        vfs.FS
	readOnly  bool
	found     []*store        // Every store, by base.
	stores    []*store        // Those that make up the log, each followed by the next; the last one is the tail's.
	tail      reading         // Of the last store.
	positions *index          // Of the last store's records.
	rolling   bool            // The last but one may lack its seal: a roll or cut may have died before that was durable.
	indexes   map[uint64]bool // Bases of the index files there are.
	leftovers []string        // Files of a creation or truncation that died.
	foreign   []string        // Files that are none of the log's.
}

func newSurvey(dir string, opts Options) *survey {
	return &survey{dir: dir, fs: opts.FS, readOnly: opts.ReadOnly, indexes: map[uint64]bool{}}
}

// surveyDir looks at a log's directory. Damage is a *CorruptError; the survey then has what was found up to it.
func surveyDir(dir string, opts Options) (*survey, error) {
	v := newSurvey(dir, opts)
	bases, err := v.names(opts.QuarantineDir)
	if err != nil {
		return v, err
	}
	if err := v.open(bases); err != nil {
		return v, err
	}
	return v, v.judge()
}

// judge says whether the stores that were found are a whole log, and finds its end.
func (v *survey) judge() error {
	if err := v.orphans(); err != nil || len(v.found) == 0 {
		return err
	}
	if err := v.identity(); err != nil {
		return err
	}
	if err := v.link(); err != nil {
		return err
	}
	if err := v.readTail(); err != nil {
		return err
	}
	if err := v.front(); err != nil {
		return err
	}
	return v.seals()
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

// names sorts the directory's names by what they are and returns the bases of the stores.
func (v *survey) names(quarantine string) (bases []uint64, err error) {
	entries, err := v.fs.List(v.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		storeBase, isStore := parseName(entry.Name, storeSuffix)
		indexBase, isIndex := parseName(entry.Name, indexSuffix)
		switch {
		case entry.Dir:
			if joinName(v.dir, entry.Name) != quarantine {
				v.foreign = append(v.foreign, entry.Name)
			}
		case isStore:
			bases = append(bases, storeBase)
		case isIndex:
			v.indexes[indexBase] = true
		case isTemporary(entry.Name):
			v.leftovers = append(v.leftovers, entry.Name)
		default:
			v.foreign = append(v.foreign, entry.Name)
		}
	}
	slices.Sort(bases)
	return bases, nil
}

// open opens every store and checks that it has the name that its header says.
func (v *survey) open(bases []uint64) error {
	for _, base := range bases {
		s, err := openStore(v.fs, joinName(v.dir, storeName(base)), v.readOnly)
		if err != nil {
			return err
		}
		v.found = append(v.found, s)
		if s.head.base != base {
			return corrupt(s.path, headBaseAt, base, fmt.Errorf("the header says that its first offset is %d", s.head.base))
		}
	}
	return nil
}

// orphans refuses a log all of whose stores are gone while indexes are there: a new log would hide the loss.
func (v *survey) orphans() error {
	if len(v.found) > 0 || len(v.indexes) == 0 {
		return nil
	}
	return v.missing(slices.Min(slices.Collect(maps.Keys(v.indexes))))
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

// link finds the stores that make up the log: the newest, the one that it follows, and so on to the front.
func (v *survey) link() error {
	bySalt := map[uint64]*store{}
	for _, s := range v.found {
		bySalt[s.head.salt] = s
	}
	v.stores = nil
	for s := slices.MaxFunc(v.found, newer); s != nil; {
		v.stores = append(v.stores, s)
		prev := bySalt[s.head.prevSalt]
		if prev != nil && newer(prev, s) >= 0 {
			return corrupt(s.path, headPrevSaltAt, s.head.base, fmt.Errorf("it was made to follow %s, which is newer", prev.path))
		}
		s = prev
	}
	slices.Reverse(v.stores)
	return nil
}

// readTail reads the last store and judges its end (docs/design.md, the recovery rule).
func (v *survey) readTail() (err error) {
	last := v.stores[len(v.stores)-1]
	v.positions = &index{anchored: true}
	if v.tail, err = last.read(wholeFile, v.positions); err != nil {
		return err
	}
	t := &v.tail
	last.cutAt(t.end, t.next, t.chain)
	last.recordEnd, last.proven = t.recordEnd, t.proven
	last.sealed.Store(t.seal != 0)
	witness, _ := v.index(last)
	return last.judgeEnd(t, witness)
}

// index returns what a store's index file says, nothing where there is none.
func (v *survey) index(s *store) (indexHead, bool) {
	file, err := openIndexFile(v.fs, s)
	if err != nil {
		return indexHead{}, false
	}
	_ = file.file.Close() // It was read already.
	return file.indexHead, true
}

// front leaves out what a truncation or cut was taking away when it died, and refuses a log that lacks its first segment.
func (v *survey) front() error {
	first := v.tail.first
	for len(v.stores) > 1 && v.stores[1].head.base <= first {
		v.stores = v.stores[1:]
	}
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

// isSuperseded reports whether a segment of the log took the place of a store: the log's end was cut before it, or the log was
// reset.
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

// seals checks that each segment ends where the next one follows.
func (v *survey) seals() error {
	for i, s := range v.stores[:len(v.stores)-1] {
		next := v.stores[i+1]
		v.rolling = i == len(v.stores)-2 && v.tail.isNew(next) && s.head.generation == next.head.generation
		if err := v.checkEnd(s, next, v.rolling); err != nil {
			return err
		}
		s.endWith(next)
	}
	return nil
}

// checkEnd checks that a store has a seal where the next one follows, or an index that says so where the end was cut there. Where
// it has neither, everything before that place is read.
func (v *survey) checkEnd(s, next *store, mayLackSeal bool) error {
	isCut := s.head.generation != next.head.generation
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
	if !mayLackSeal && !isCut {
		return corrupt(s.path, r.end, r.next, fmt.Errorf("the seal: %w", sealErr))
	}
	return nil
}

// isWitnessed reports whether a store's index says that it was durable up to where the next one follows.
func (v *survey) isWitnessed(s, next *store) bool {
	size, err := s.file.Size()
	head, ok := v.index(s)
	return err == nil && ok && size >= next.head.prevEnd && head.nextSalt == next.head.salt &&
		head.end == next.head.prevEnd && head.chain == next.head.prevChain
}

func closeStores(stores []*store) error {
	var errs []error
	for _, s := range stores {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}
