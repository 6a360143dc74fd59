package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sort"
)

// survey is what a log's directory holds, found by reading alone. Nothing in it was changed.
type survey struct {
	dir       string
	stores    []*store // The segments that make up the log, in order; the last one is the tail's.
	tail      tail
	rolling   bool            // The last but one may lack its seal: a roll may have died before it was durable.
	indexes   map[uint64]bool // Bases of the index files there are.
	leftovers []string        // Files of a creation or truncation that died.
	foreign   []string        // Files that are none of the log's.
}

// tail is the end of the last segment.
type tail struct {
	path    string // Of the store.
	end     int64  // Behind the last frame that checks out, or where the closing seal stands.
	next    uint64 // The offset of the next record.
	chain   uint32
	proven  int64     // Everything in front of it was durable: some frame says so.
	first   uint64    // The log's first offset, as its newest frame has it.
	last    uint64    // The last offset that stands; records behind it are withdrawn.
	seal    frameKind // How the store was ended, 0 if it wasn't.
	written int64     // The end of what isn't zero.
	size    int64     // The file's length.

	withdrawn bool     // Records behind last are still there.
	positions []uint32 // Of the frames of the records, in order.
}

// cutFrom is where bytes begin that belong to no frame.
func (t *tail) cutFrom() int64 {
	if t.seal == kindClosed {
		return t.end + boundsFrameSize
	}
	return t.end
}

// surveyDir looks at a log's directory. Damage is a *CorruptError; the survey then has what was found up to it.
func surveyDir(dir string, opts Options) (*survey, error) {
	v := &survey{dir: dir, indexes: map[uint64]bool{}}
	bases, err := v.list(opts)
	if err != nil {
		return v, err
	}
	if err := v.open(bases, opts); err != nil || len(v.stores) == 0 {
		return v, err
	}
	last := v.stores[len(v.stores)-1]
	if v.tail, err = scanTail(last); err != nil {
		return v, err
	}
	last.end, last.next, last.chain = v.tail.end, v.tail.next, v.tail.chain
	last.written.Store(v.tail.end)
	last.sealed.Store(v.tail.seal == kindClosed)
	if err := v.dropTruncated(); err != nil {
		return v, err
	}
	return v, v.checkChain()
}

// close closes every store that was opened.
func (v *survey) close() error {
	var errs []error
	for _, s := range v.stores {
		errs = append(errs, s.file.Close())
	}
	v.stores = nil
	return errors.Join(errs...)
}

// list sorts the directory's names by what they are and returns the bases of the stores.
func (v *survey) list(opts Options) (bases []uint64, err error) {
	entries, err := opts.FS.List(v.dir)
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
			if joinName(v.dir, entry.Name) != opts.QuarantineDir {
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
	sort.Slice(bases, func(i, j int) bool { return bases[i] < bases[j] })
	return bases, v.checkOrphans(bases)
}

// checkOrphans refuses a log all of whose stores are gone while indexes are there: a new log would hide the loss.
func (v *survey) checkOrphans(bases []uint64) error {
	if len(bases) > 0 || len(v.indexes) == 0 {
		return nil
	}
	return v.missing(slices.Min(slices.Collect(maps.Keys(v.indexes))))
}

// missing refuses a log that lacks the segment with this base.
func (v *survey) missing(base uint64) error {
	return corrupt(joinName(v.dir, storeName(base)), 0, base, errors.New("the segment is missing"))
}

// open opens every store and checks that it stands where it belongs.
func (v *survey) open(bases []uint64, opts Options) error {
	for _, base := range bases {
		s, err := openStore(opts.FS, joinName(v.dir, storeName(base)), opts.ReadOnly)
		if err != nil {
			return err
		}
		v.stores = append(v.stores, s)
		if s.head.base != base {
			return corrupt(s.path, headBaseAt, base, fmt.Errorf("the header says that its first offset is %d", s.head.base))
		}
	}
	return v.checkIdentity()
}

// checkIdentity refuses a store of another log, naming the one whose identity most others don't share.
func (v *survey) checkIdentity() error {
	count := map[[16]byte]int{}
	var most [16]byte
	for _, s := range v.stores {
		if count[s.head.id]++; count[s.head.id] > count[most] {
			most = s.head.id
		}
	}
	for _, s := range v.stores {
		if s.head.id != most {
			return corrupt(s.path, headIDAt, s.head.base, fmt.Errorf("it belongs to log %x, the others to %x", s.head.id, most))
		}
	}
	return nil
}

// scanTail reads the last segment's store and judges its end (docs/design.md, the recovery rule).
func scanTail(s *store) (tail, error) {
	size, err := s.file.Size()
	if err != nil {
		return tail{}, err
	}
	sc := s.scan(size)
	t := tail{path: s.path, proven: headSize, first: s.head.first, size: size}
	for {
		chain := sc.chain
		f, err := sc.frame()
		if err != nil {
			t.take(sc)
			return t, t.judge(s, sc, err)
		}
		t.proven = max(t.proven, f.watermark(f.position))
		if f.kind == kindRecord {
			t.positions = append(t.positions, uint32(f.position))
			continue
		}
		b, err := f.bounds(chain)
		if err != nil {
			return t, corrupt(s.path, f.position, f.offset, err)
		}
		t.first = b.first
		if b.last+1 < f.offset {
			t.last, t.withdrawn = b.last, true
		}
		if f.kind.isSeal() {
			sc.position = f.position
			t.take(sc)
			t.seal = f.kind
			return t, t.judge(s, sc, nil)
		}
	}
}

// bounds decodes what a mark or seal says, and checks it against the chain of the frames in front of it.
func (f frame) bounds(chain uint32) (bounds, error) {
	b, err := decodeBounds(f.payload)
	if err == nil && (b.chain != chain || b.last >= f.offset) {
		err = fmt.Errorf("%s says chain %08x and last offset %d where they are %08x and %d", f.kind, b.chain, b.last, chain, f.offset-1)
	}
	return b, err
}

// take notes where a scan has got to.
func (t *tail) take(sc *scanner) {
	t.end, t.next, t.chain = sc.position, sc.next, sc.chain
	if !t.withdrawn {
		t.last = t.next - 1
	}
}

// judge tells a torn tail from damage, once a scan has stopped for a reason; nil stands for a seal.
func (t *tail) judge(s *store, sc *scanner, stop error) error {
	if stop != nil && !isScanStop(stop) {
		return fmt.Errorf("read %s at position %d: %w", s.path, t.end, stop)
	}
	if errors.Is(stop, errCutShort) || stop != nil && t.size-t.end < boundsFrameSize {
		return corrupt(s.path, t.end, t.next, fmt.Errorf("the file ends at %d, where no power cut can end it: it was cut afterwards", t.size))
	}
	if t.seal == kindRolled {
		return corrupt(joinName(filepath.Dir(s.path), storeName(t.next)), 0, t.next, errors.New("the segment is missing, though the one before it was followed by it"))
	}
	proof, written, err := sc.evidence()
	if err != nil {
		return fmt.Errorf("read %s behind position %d: %w", s.path, t.end, err)
	}
	t.written = written
	if proof != 0 {
		return corrupt(s.path, t.end, t.next, fmt.Errorf("%w, though the frame at %d was written when it was durable", stopOrSeal(stop), proof))
	}
	return nil
}

// stopOrSeal words what stands at the end of a scan that a later frame contradicts.
func stopOrSeal(stop error) error {
	if stop == nil {
		return errors.New("an old seal stands here")
	}
	return stop
}

// dropTruncated leaves out the segments in front of the log's first offset, which a truncation was taking away when it
// died, and refuses a log whose first segment is missing.
func (v *survey) dropTruncated() error {
	for len(v.stores) > 1 && v.stores[1].head.base <= v.tail.first {
		v.leftovers = append(v.leftovers, storeName(v.stores[0].head.base))
		if err := v.stores[0].file.Close(); err != nil {
			return err
		}
		v.stores = v.stores[1:]
	}
	if first := v.stores[0].head.base; first != v.tail.first {
		return corrupt(joinName(v.dir, storeName(v.tail.first)), 0, v.tail.first, fmt.Errorf("the segment is missing; the log now begins at %d", first))
	}
	return v.dropIndexes()
}

// dropIndexes leaves out indexes of segments that were truncated. One whose store is missing is damage.
func (v *survey) dropIndexes() error {
	have := map[uint64]bool{}
	for _, s := range v.stores {
		have[s.head.base] = true
	}
	for _, base := range slices.Sorted(maps.Keys(v.indexes)) {
		switch {
		case have[base]:
		case base < v.tail.first:
			v.leftovers = append(v.leftovers, indexName(base))
		default:
			return v.missing(base)
		}
	}
	sort.Strings(v.leftovers)
	return nil
}

// standing returns how many of the stores are the log's: all, but for those whose records are withdrawn.
func (v *survey) standing() int {
	n := len(v.stores)
	for v.tail.withdrawn && n > 1 && v.stores[n-1].head.base > v.tail.last {
		n--
	}
	return n
}

// checkChain checks that each segment is followed by the one that was made to follow it.
func (v *survey) checkChain() error {
	for i := 1; i < v.standing(); i++ {
		prev, next := v.stores[i-1], v.stores[i]
		if next.head.prevSalt != prev.head.salt {
			return v.wrongNeighbour(prev, next)
		}
		// While the last segment is empty, the roll that made it may have died before the seal in front of it was
		// durable. That the seal can be read proves nothing: it may be in the page cache only.
		v.rolling = i == len(v.stores)-1 && v.tail.end == headSize && v.tail.seal == 0
		if err := prev.readSeal(next); err == nil {
			continue
		}
		if err := prev.scanSealed(next, v.rolling); err != nil {
			return err
		}
	}
	return v.checkWithdrawn()
}

// wrongNeighbour says which segment is at fault where one doesn't follow the one in front of it: one between the two
// that is missing, or the one in front.
func (v *survey) wrongNeighbour(prev, next *store) error {
	seal, err := prev.scanReadable()
	if err != nil {
		return err
	}
	if seal == kindRolled && prev.next < next.head.base {
		return v.missing(prev.next)
	}
	return corrupt(prev.path, headSaltAt, prev.head.base, fmt.Errorf("it is not the segment that %s was made to follow", storeName(next.head.base)))
}

// checkWithdrawn finds the end of the segment that will be the last once a truncation of the log's end is finished. It
// may be as it was before, or without the withdrawn records already.
func (v *survey) checkWithdrawn() error {
	n := v.standing()
	if n == len(v.stores) {
		return nil
	}
	s := v.stores[n-1]
	if _, err := s.scanReadable(); err != nil {
		return err
	}
	if s.next <= v.tail.last {
		return corrupt(s.path, s.end, s.next, fmt.Errorf("the log's end says that offset %d stands", v.tail.last))
	}
	return nil
}

// readSeal looks at the end of a file for the seal that the next segment's header speaks of.
func (s *store) readSeal(next *store) error {
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	sc := s.scanFrom(size-boundsFrameSize, next.head.base, size)
	if sc.position < headSize {
		return errCutShort
	}
	f, err := sc.frame()
	if err != nil {
		return err
	}
	if f.kind != kindRolled {
		return fmt.Errorf("the %s ends it", f.kind)
	}
	if _, err := f.bounds(next.head.prevChain); err != nil {
		return err
	}
	s.settle(f.position, next)
	return nil
}

// settle notes that a store is sealed and where.
func (s *store) settle(end int64, next *store) {
	s.end, s.next, s.chain = end, next.head.base, next.head.prevChain
	s.sealed.Store(true)
	s.written.Store(end + boundsFrameSize)
	s.durable.Store(end)
}

// scanSealed reads a store that another segment follows and whose seal is not at its end. Every record up to the next
// segment was durable before that segment was made, so anything that doesn't check out is damage; only the seal may be
// missing, and only while the next segment is empty.
func (s *store) scanSealed(next *store, mayLackSeal bool) error {
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	sc := s.scan(size)
	for {
		f, err := sc.frame()
		whole := sc.next == next.head.base && sc.chain == next.head.prevChain
		switch {
		case err != nil && !isScanStop(err):
			return fmt.Errorf("read %s at position %d: %w", s.path, sc.position, err)
		case err != nil && mayLackSeal && whole && !errors.Is(err, errCutShort):
			s.settle(sc.position, next)
			s.written.Store(sc.position)
			s.sealed.Store(false)
			return nil
		case err != nil:
			return corrupt(s.path, sc.position, sc.next, err)
		case f.kind == kindRolled && whole:
			s.settle(f.position, next)
			return nil
		case f.kind == kindClosed && whole && mayLackSeal:
			// The log had been closed, and the first append after that rolled.
			s.settle(f.position, next)
			s.sealed.Store(false)
			return nil
		case f.kind.isSeal() || sc.next > next.head.base:
			return corrupt(s.path, f.position, sc.next, fmt.Errorf("it ends at offset %d with chain %08x, but %s was made to follow offset %d and chain %08x",
				sc.next-1, sc.chain, storeName(next.head.base), next.head.base-1, next.head.prevChain))
		}
	}
}
