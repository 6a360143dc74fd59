//go:build unix

package kv

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/btree"
)

// benchPairs is large enough that neither nodes nor keys stay in a processor's caches.
const benchPairs = 1_000_000

// treeLayout is one way of laying out an item. The benchmarks compare the one in use, kept, with those it was chosen over.
type treeLayout[T any] struct {
	name   string
	item   func(key, value []byte) T
	less   func(a, b T) bool
	get    func(t *btree.BTreeG[T], key []byte) (T, bool)
	slices func(it T) (key, value []byte)
}

// keptLayout is the tree's own, with a common prefix of keys.
func keptLayout(name string, common []byte) treeLayout[item] {
	return treeLayout[item]{
		name: name,
		item: func(key, value []byte) item { return tree{common: common}.item(newPair(key, value, 0)) },
		less: item.less,
		get: func(t *btree.BTreeG[item], key []byte) (item, bool) {
			return tree{items: t, common: common}.get(key)
		},
		slices: func(it item) (key, value []byte) { return it.key(), it.value() },
	}
}

// plainItem is what one writes without thinking of memory.
type plainItem struct {
	key, value []byte
	_          int64 // The deadline.
}

var plainLayout = treeLayout[plainItem]{
	name: "plain",
	item: func(key, value []byte) plainItem {
		key, value = copyBoth(key, value)
		return plainItem{key: key, value: value}
	},
	less:   func(a, b plainItem) bool { return bytes.Compare(a.key, b.key) < 0 },
	get:    func(t *btree.BTreeG[plainItem], key []byte) (plainItem, bool) { return t.Get(plainItem{key: key}) },
	slices: func(it plainItem) (key, value []byte) { return it.key, it.value },
}

// headerItem has the sizes before the key, in the allocation, rather than in the item. A lookup then needs a key that
// looks the same, and a scan reads the allocation even where it is only counting.
type headerItem struct {
	order  uint64
	header *headerPair
}

// headerPair is the beginning of an allocation; the bytes of key and value follow it.
type headerPair struct{ keySize, valueSize uint32 }

// headerProbe is what a lookup has in a headerPair's place; its size of the key says so.
type headerProbe struct {
	headerPair
	key []byte
}

// probeSize is the key's size in a probe, which no pair has.
const probeSize = 1<<32 - 1

var headerProbes = sync.Pool{New: func() any { return &headerProbe{headerPair: headerPair{keySize: probeSize}} }}

func (p *headerPair) slices() (key, value []byte) {
	if p.keySize == probeSize {
		return (*headerProbe)(unsafe.Pointer(p)).key, nil
	}
	all := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(p), 8)), int(p.keySize)+int(p.valueSize))
	return all[:p.keySize:p.keySize], all[p.keySize:]
}

var headerLayout = treeLayout[headerItem]{
	name: "header",
	item: func(key, value []byte) headerItem {
		memory := make([]byte, 8+len(key)+len(value))
		binary.NativeEndian.PutUint32(memory, uint32(len(key)))
		binary.NativeEndian.PutUint32(memory[4:], uint32(len(value)))
		copy(memory[8:], key)
		copy(memory[8+len(key):], value)
		return headerItem{order: keyOrder(key, nil), header: (*headerPair)(unsafe.Pointer(unsafe.SliceData(memory)))}
	},
	less: func(a, b headerItem) bool {
		if a.order != b.order {
			return a.order < b.order
		}
		aKey, _ := a.header.slices()
		bKey, _ := b.header.slices()
		return bytes.Compare(aKey, bKey) < 0
	},
	get: func(t *btree.BTreeG[headerItem], key []byte) (headerItem, bool) {
		p := headerProbes.Get().(*headerProbe)
		defer headerProbes.Put(p)
		p.key = key
		return t.Get(headerItem{order: keyOrder(key, nil), header: &p.headerPair})
	},
	slices: func(it headerItem) (key, value []byte) { return it.header.slices() },
}

// benchKeys returns keys of one kind in ascending order, and the order in which they are put.
func benchKeys(kind string) (keys [][]byte, order []int) {
	random := rand.New(rand.NewPCG(1, 1))
	keys = make([][]byte, benchPairs)
	for i := range keys {
		if kind == "random" {
			keys[i] = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, random.Uint64()), random.Uint64())
		} else {
			keys[i] = fmt.Appendf(nil, "user%09d", i)
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	if order = random.Perm(len(keys)); kind == "ascending" {
		slices.Sort(order)
	}
	return keys, order
}

// treeBench is one layout with one kind of keys.
type treeBench[T any] struct {
	treeLayout[T]
	keys  [][]byte
	order []int
	value []byte
	built *btree.BTreeG[T]
	sum   int // Keeps the compiler from leaving work out.
}

func (l *treeBench[T]) put(t *btree.BTreeG[T], i int) { t.ReplaceOrInsert(l.item(l.keys[i], l.value)) }

func (l *treeBench[T]) fill() *btree.BTreeG[T] {
	t := btree.NewG(treeDegree, l.less)
	for _, i := range l.order {
		l.put(t, i)
	}
	l.built = t
	return t
}

// tree returns a tree of all pairs.
func (l *treeBench[T]) tree() *btree.BTreeG[T] {
	if l.built == nil {
		l.fill()
	}
	return l.built
}

// benchFill measures puts into a growing tree.
func (l *treeBench[T]) benchFill(b *testing.B) { benchBuild(b, func() any { return l.fill() }) }

func (l *treeBench[T]) benchGet(b *testing.B) {
	t := l.tree()
	random := rand.New(rand.NewPCG(2, 2))
	for range b.N {
		it, _ := l.get(t, l.keys[random.IntN(len(l.keys))])
		_, value := l.slices(it)
		l.sum += int(value[0])
	}
}

// benchOverwrite measures a put of a key that is there, with a clone before every given number of puts; 0 is none.
func (l *treeBench[T]) benchOverwrite(b *testing.B, every int) {
	t := l.tree()
	random := rand.New(rand.NewPCG(3, 3))
	var reader *btree.BTreeG[T]
	for i := range b.N {
		if every != 0 && i%every == 0 {
			reader = t.Clone()
		}
		l.put(t, random.IntN(len(l.keys)))
	}
	runtime.KeepAlive(reader)
}

// benchScan measures a full scan per pair, which reads a byte of each value, or counts only.
func (l *treeBench[T]) benchScan(b *testing.B, read bool) {
	t := l.tree()
	for left := b.N; left > 0; {
		t.Ascend(func(it T) bool {
			key, value := l.slices(it)
			if l.sum += len(key); read {
				l.sum += int(value[len(value)-1])
			}
			left--
			return left > 0
		})
	}
}

func benchLayout[T any](b *testing.B, kind string, keys [][]byte, order []int, layout treeLayout[T]) {
	l := treeBench[T]{treeLayout: layout, keys: keys, order: order, value: make([]byte, 100)}
	operations := []struct {
		name string
		run  func(b *testing.B)
	}{
		{"put", l.benchFill},
		{"get", withCPU(&l, l.benchGet)},
		{"scan", withCPU(&l, func(b *testing.B) { l.benchScan(b, true) })},
		{"count", withCPU(&l, func(b *testing.B) { l.benchScan(b, false) })},
		{"overwrite", withCPU(&l, func(b *testing.B) { l.benchOverwrite(b, 0) })},
		{"overwrite-clone100", withCPU(&l, func(b *testing.B) { l.benchOverwrite(b, 100) })},
		{"overwrite-clone1", withCPU(&l, func(b *testing.B) { l.benchOverwrite(b, 1) })},
	}
	for _, operation := range operations {
		b.Run(kind+"/"+layout.name+"/"+operation.name, operation.run)
	}
}

// BenchmarkTree compares layouts of an item. The tables in docs/performance.md come from it.
func BenchmarkTree(b *testing.B) {
	for _, kind := range []string{"random", "user", "ascending"} {
		keys, order := benchKeys(kind)
		var sample [][]byte
		for _, i := range order[:commonSample] {
			sample = append(sample, keys[i])
		}
		slices.SortFunc(sample, bytes.Compare)
		benchLayout(b, kind, keys, order, plainLayout)
		benchLayout(b, kind, keys, order, headerLayout)
		benchLayout(b, kind, keys, order, keptLayout("no-common-prefix", nil))
		benchLayout(b, kind, keys, order, keptLayout("kept", commonPrefix(sample)))
	}
}

// BenchmarkTreeLoad compares putting pairs in ascending order one by one with loading them.
func BenchmarkTreeLoad(b *testing.B) {
	keys, _ := benchKeys("random")
	pairs := make([]pair, len(keys))
	for i, key := range keys {
		pairs[i] = newPair(key, make([]byte, 100), 0)
	}
	ways := map[string]func(t *tree){
		"put": func(t *tree) {
			for _, p := range pairs {
				t.put(p)
			}
		},
		"load": func(t *tree) { t.load(slices.Values(pairs), nil) },
	}
	for name, way := range ways {
		b.Run(name, func(b *testing.B) {
			benchBuild(b, func() any {
				t := newTree()
				way(&t)
				return t
			})
		})
	}
}

// BenchmarkTreeTenants measures gets among the keys of 1,000 tenants, by the way in which they came.
func BenchmarkTreeTenants(b *testing.B) {
	keys := tenantKeys(1000, 1000)
	trees := treesOf(keys)
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		b.Run(name, func(b *testing.B) {
			random := rand.New(rand.NewPCG(2, 2))
			for b.Loop() {
				if _, found := trees[name].get(keys[random.IntN(len(keys))]); !found {
					b.Fatal("a key is missing")
				}
			}
		})
	}
}

// BenchmarkTreeChooseCommon measures the longest put that chooses the common prefix.
func BenchmarkTreeChooseCommon(b *testing.B) {
	small := newTree()
	for i := range commonInline {
		small.put(newPair(fmt.Appendf(nil, "user%09d", i), nil, 0))
	}
	for b.Loop() {
		chosen := small.clone()
		chosen.common = []byte("use")
		chosen.chooseCommon()
	}
}

// BenchmarkTreeReplay compares applying commits of one put each, in random order, with gathering the last put of each key
// first, sorting, and loading in order.
func BenchmarkTreeReplay(b *testing.B) {
	keys, order := benchKeys("random")
	var records [][]byte
	for _, i := range order {
		records = append(records, appendRecord(nil, 1, []Mutation{newPut(keys[i], make([]byte, 100), time.Time{})}))
	}
	ways := map[string]func(records [][]byte) tree{"apply": replayByApplying, "gather": replayByGathering}
	for name, way := range ways {
		b.Run(name, func(b *testing.B) { benchBuild(b, func() any { return way(records) }) })
	}
}

func replayByApplying(records [][]byte) tree {
	s := newState()
	var mutations []Mutation
	for i, record := range records {
		_, mutations, _ = decodeRecord(record, mutations[:0])
		s.apply(uint64(i+1), mutations)
	}
	return s.tree
}

// replayByGathering knows of puts only.
func replayByGathering(records [][]byte) tree {
	type put struct {
		item
		index int
	}
	var puts []put
	var mutations []Mutation
	for i, record := range records {
		_, mutations, _ = decodeRecord(record, mutations[:0])
		for j := range mutations {
			puts = append(puts, put{newTree().item(mutations[j].ownedPair()), i})
		}
	}
	slices.SortFunc(puts, func(a, b put) int {
		if a.order != b.order {
			return cmp.Compare(a.order, b.order)
		}
		return cmp.Or(bytes.Compare(a.key(), b.key()), cmp.Compare(a.index, b.index))
	})
	t := newTree()
	t.load(func(yield func(p pair) bool) {
		for i, p := range puts {
			last := i+1 == len(puts) || p.less(puts[i+1].item)
			if last && !yield(p.pair) {
				return
			}
		}
	}, nil)
	return t
}

// benchBuild reports what building a tree of benchPairs takes a pair, the memory it then holds, and what a collection of
// garbage costs meanwhile.
func benchBuild(b *testing.B, build func() any) {
	for range b.N {
		before, started := heapBytes(), cpuTime()
		built := build()
		b.ReportMetric(float64(cpuTime()-started)/benchPairs, "cpu-ns/pair")
		b.ReportMetric(float64(heapBytes()-before)/benchPairs, "heap-B/pair")
		started = cpuTime()
		runtime.GC()
		b.ReportMetric((cpuTime()-started).Seconds()*1000, "GC-cpu-ms")
		runtime.KeepAlive(built)
	}
}

// cpuTime returns what the process has used of all processors, which other processes disturb less than they do the clock.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// withCPU adds to a benchmark of a full tree the processor time of an operation, garbage collection included.
func withCPU[T any](l *treeBench[T], benchmark func(b *testing.B)) func(b *testing.B) {
	return func(b *testing.B) {
		l.tree()
		b.ReportAllocs()
		b.ResetTimer()
		started := cpuTime()
		benchmark(b)
		b.ReportMetric(float64(cpuTime()-started)/float64(b.N), "cpu-ns/op")
	}
}
