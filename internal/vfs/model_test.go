package vfs

import (
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "replay the random test with this seed alone")
	seedsFlag = flag.Uint64("seeds", 30, "how many seeds the random test goes through")
)

// modelNames are the names that the random test uses, in two directories.
var modelNames = []string{"/a", "/b", "/x/c", "/x/d"}

// model is a second, plain opinion on what may be on the disk of a Mem after a power cut. It replays each file's history
// byte by byte and shares no code with the Mem. A file may have several names.
type model struct {
	durable map[string]*modelFile   // By name, as of the last SyncDir.
	names   map[string]*modelFile   // By name, now.
	since   map[string][]*modelFile // The other files that a name may stand for; nil if it may be missing.
}

type modelFile struct {
	cache, durable []byte
	pending        []modelChange
	sector         int // Bytes of the sectors of this size that a pending write touches may be any; 0 for none.
}

// modelChange is a write of data at off, or a truncate if length isn't negative.
type modelChange struct {
	off    int
	data   []byte
	length int
}

func (ch modelChange) apply(to []byte) []byte {
	if ch.length >= 0 {
		return append(to[:min(ch.length, len(to))], make([]byte, max(0, ch.length-len(to)))...)
	}
	for len(to) < ch.off+len(ch.data) {
		to = append(to, 0)
	}
	copy(to[ch.off:], ch.data)
	return to
}

// touches reports whether the change is a write of some byte of a sector.
func (ch modelChange) touches(sector, size int) bool {
	return ch.length < 0 && len(ch.data) > 0 && ch.off/size <= sector && sector <= (ch.off+len(ch.data)-1)/size
}

func (f *modelFile) record(ch modelChange) {
	f.cache = ch.apply(f.cache)
	f.pending = append(f.pending, ch)
}

func (f *modelFile) sync() {
	for _, ch := range f.pending {
		f.durable = ch.apply(f.durable)
	}
	f.pending = nil
}

// allows returns why a power cut can't have left data in the file, or "" if it can.
func (f *modelFile) allows(data []byte) string {
	least, most := len(f.durable), len(f.durable)
	for _, ch := range f.pending {
		end := ch.off + len(ch.data)
		if ch.length >= 0 {
			end = ch.length
			least = min(least, end)
		}
		most = max(most, end)
	}
	if len(data) < least || len(data) > most {
		return fmt.Sprintf("length %d is not in %d to %d", len(data), least, most)
	}
	for i, b := range data {
		if !f.allowsByte(i, b) {
			return fmt.Sprintf("byte %d is %q", i, b)
		}
	}
	return ""
}

func (f *modelFile) allowsByte(i int, b byte) bool {
	if i < len(f.durable) && f.durable[i] == b || i >= len(f.durable) && b == 0 {
		return true
	}
	for _, ch := range f.pending {
		if ch.length >= 0 && i >= ch.length && b == 0 {
			return true // Cut off, and perhaps grown over again.
		}
		if ch.length < 0 && i >= ch.off && i < ch.off+len(ch.data) && ch.data[i-ch.off] == b {
			return true
		}
		if f.sector > 0 && ch.touches(i/f.sector, f.sector) {
			return true
		}
	}
	return false
}

func (o *model) rename(from, to string) {
	f := o.names[from]
	delete(o.names, from)
	o.names[to] = f
	o.since[from] = append(o.since[from], nil)
	o.since[to] = append(o.since[to], f)
}

func (o *model) link(name, second string) {
	f := o.names[name]
	o.names[second] = f
	o.since[second] = append(o.since[second], f)
}

func (o *model) syncDir(dir string) {
	for _, name := range modelNames {
		if path.Dir(name) != dir {
			continue
		}
		delete(o.durable, name)
		delete(o.since, name)
		if f := o.names[name]; f != nil {
			o.durable[name] = f
		}
	}
}

// check requires that a power cut could have left after.
func (o *model) check(t *testing.T, after *Mem) {
	t.Helper()
	for _, name := range modelNames {
		data, err := after.ReadFile(name)
		reasons := []string{}
		possible := append(slices.Clone(o.since[name]), o.durable[name])
		for _, f := range possible {
			reason := "it is there"
			if f == nil && err != nil {
				reason = ""
			} else if f != nil && err == nil {
				reason = f.allows(data)
			} else if f != nil {
				reason = "it is not there"
			}
			reasons = append(reasons, reason)
		}
		require.Contains(t, reasons, "", "%s: %s", name, strings.Join(reasons, "; "))
	}
}

// checkExactly requires what the policies that aren't random must leave.
func (o *model) checkExactly(t *testing.T, mem *Mem) {
	t.Helper()
	for _, c := range []struct {
		policy Policy
		names  map[string]*modelFile
		synced bool // Whether the content is as if it had been synced just before.
	}{
		{KeepNone, o.durable, false},
		{KeepAll, o.names, true},
		{NamesOnly, o.names, false},
		{ContentOnly, o.durable, true},
	} {
		after := mem.Crash(0, c.policy)
		require.Len(t, after.Names(), len(c.names))
		for name, f := range c.names {
			want := modelFile{durable: slices.Clone(f.durable), pending: f.pending}
			if c.synced {
				want.sync()
			}
			require.Equal(t, string(want.durable), contentOf(after, name), "%v: %s", c.policy, name)
		}
	}
}

// run makes random calls on a Mem and its model.
type run struct {
	t     *testing.T
	rng   *rand.Rand
	mem   *Mem
	model *model
	open  map[*modelFile]File
	maps  map[*modelFile]Mapping

	sector int // The size of the sectors that a power cut may damage, in bytes; 0 for none.
}

func newRun(t *testing.T, seed uint64) *run {
	r := &run{t: t, rng: rand.New(rand.NewPCG(seed, 1)), mem: NewMem(), sector: []int{0, 512, 1024}[seed%3]}
	r.mem.SetTornNeighbours(int64(r.sector))
	r.model = &model{durable: map[string]*modelFile{}, names: map[string]*modelFile{}, since: map[string][]*modelFile{}}
	r.open, r.maps = map[*modelFile]File{}, map[*modelFile]Mapping{}
	require.NoError(t, r.mem.MkdirAll("/x"))
	return r
}

func (r *run) name() string { return modelNames[r.rng.IntN(len(modelNames))] }

// bytes returns some bytes. None of them is zero, so that a zero can't have been written.
func (r *run) bytes(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(1 + r.rng.IntN(255))
	}
	return data
}

func (r *run) step() {
	name := r.name()
	f := r.model.names[name]
	if f == nil {
		r.create(name)
		return
	}
	switch h := r.open[f]; r.rng.IntN(22) {
	case 0:
		require.NoError(r.t, r.mem.Remove(name))
		delete(r.model.names, name)
		r.model.since[name] = append(r.model.since[name], nil)
	case 1:
		r.rename(name, r.name())
	case 2, 3:
		require.NoError(r.t, r.mem.SyncDir(path.Dir(name)))
		r.model.syncDir(path.Dir(name))
	case 20, 21:
		r.link(name, r.name())
	case 4, 5, 6:
		require.NoError(r.t, h.Sync())
		f.sync()
	case 7:
		failSync(r.t, r.mem, h)
		f.pending = nil
	case 8, 9:
		size := r.rng.IntN(4000)
		require.NoError(r.t, h.Truncate(int64(size)))
		f.record(modelChange{length: size})
	case 10, 11:
		r.allocate(f, h)
	case 12, 13, 14:
		r.store(f, h)
	default:
		ch := modelChange{off: r.rng.IntN(3000), data: r.bytes(1 + r.rng.IntN(1500)), length: -1}
		write(r.t, h, int64(ch.off), string(ch.data))
		f.record(ch)
	}
}

// rename tries to rename a file. Nothing happens if the new name is another name of the same file.
func (r *run) rename(name, to string) {
	err := r.mem.Rename(name, to)
	if path.Dir(name) != path.Dir(to) {
		require.ErrorIs(r.t, err, syscall.EXDEV)
		return
	}
	require.NoError(r.t, err)
	if r.model.names[name] != r.model.names[to] {
		r.model.rename(name, to)
	}
}

// link tries to give a file a second name.
func (r *run) link(name, second string) {
	err := r.mem.Link(name, second)
	if r.model.names[second] != nil {
		require.ErrorIs(r.t, err, fs.ErrExist)
		return
	}
	require.NoError(r.t, err)
	r.model.link(name, second)
}

func (r *run) create(name string) {
	f := &modelFile{sector: r.sector}
	r.open[f] = create(r.t, r.mem, name, "")
	r.model.names[name] = f
	r.model.since[name] = append(r.model.since[name], f)
}

func (r *run) allocate(f *modelFile, h File) {
	size := r.rng.IntN(4000)
	require.NoError(r.t, h.Allocate(int64(size)))
	if old := len(f.cache); size > old {
		f.record(modelChange{off: old, data: make([]byte, size-old), length: -1})
	}
}

// store stores through a mapping. Each byte that it stores differs from the one before, since a Mem can't notice a store that
// changes nothing. The read makes the Mem notice this store before the next one.
func (r *run) store(f *modelFile, h File) {
	if m := r.maps[f]; m != nil && (r.rng.IntN(4) == 0 || len(m.Bytes()) > len(f.cache)) {
		require.NoError(r.t, m.Close())
		delete(r.maps, f)
	}
	if len(f.cache) == 0 {
		return
	}
	if r.maps[f] == nil {
		m, err := h.Map(int64(1 + r.rng.IntN(len(f.cache))))
		require.NoError(r.t, err)
		r.maps[f] = m
	}
	mapped := r.maps[f].Bytes()
	off := r.rng.IntN(len(mapped))
	ch := modelChange{off: off, data: r.bytes(1 + r.rng.IntN(len(mapped)-off)), length: -1}
	for i := range ch.data {
		if ch.data[i] == mapped[off+i] {
			ch.data[i] = mapped[off+i]%255 + 1
		}
	}
	copy(mapped[off:], ch.data)
	f.record(ch)
	require.Equal(r.t, string(f.cache), read(r.t, h))
}

// same requires that reads return what the model expects.
func (r *run) same(mem *Mem) {
	var want []string
	for name, f := range r.model.names {
		want = append(want, name)
		require.Equal(r.t, string(f.cache), contentOf(mem, name))
	}
	slices.Sort(want)
	require.Equal(r.t, want, mem.Names())
}

func TestEveryByteOfACrashStateIsDurableOrPendingOrZero(t *testing.T) {
	first, last := uint64(1), *seedsFlag
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("replay with: go test ./internal/vfs -run %s -seed %d", "TestEveryByteOfACrashState", seed)
				}
			}()
			runRandomly(t, seed)
		})
	}
}

func runRandomly(t *testing.T, seed uint64) {
	r := newRun(t, seed)
	for i := range uint64(60) {
		r.step()
		for _, policy := range Policies {
			r.model.check(t, r.mem.Crash(seed+i, policy))
		}
		r.model.checkExactly(t, r.mem)
		if r.rng.IntN(10) == 0 {
			r.exit()
		}
	}
	r.same(r.mem)
	r.same(r.mem.Clone())
}

// exit ends the process, and the next one opens the files that it finds. The model doesn't change, since nothing is lost.
func (r *run) exit() {
	r.mem = r.mem.Exit()
	r.open, r.maps = map[*modelFile]File{}, map[*modelFile]Mapping{}
	for name, f := range r.model.names {
		r.open[f] = open(r.t, r.mem, name)
	}
}

func FuzzEveryByteOfACrashState(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(runRandomly)
}

// dump returns all of a state that is visible from outside.
func dump(mem *Mem) string {
	var text strings.Builder
	for _, name := range mem.Names() {
		fmt.Fprintf(&text, "%s %q\n", name, contentOf(mem, name))
	}
	return text.String()
}

func TestTheSameHistorySeedAndPolicyGiveTheSameState(t *testing.T) {
	distinct := map[string]bool{}
	for seed := range uint64(8) {
		one, two := newRun(t, seed), newRun(t, seed)
		for range 40 {
			one.step()
			two.step()
		}
		for _, policy := range Policies {
			for cut := range uint64(5) {
				state := dump(one.mem.Crash(cut, policy))
				require.Equal(t, state, dump(one.mem.Crash(cut, policy)))
				require.Equal(t, state, dump(two.mem.Crash(cut, policy)))
				distinct[state] = true
			}
		}
	}
	require.Greater(t, len(distinct), 100)
}
