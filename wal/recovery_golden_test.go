package wal

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

// TestGoldenRecoveries runs the cases in testdata/recovery: each says in its first lines what happened, and why a recovery does
// what it does; then come a script that makes the directory, and what Open finds and does there. After a change that is meant,
//
//	go test ./wal -run TestGoldenRecoveries -update
//
// writes the cases again, for their difference to be read.
func TestGoldenRecoveries(t *testing.T) {
	paths := must(filepath.Glob("testdata/recovery/*.txtar"))
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			was := strings.ReplaceAll(string(must(os.ReadFile(path))), "\r\n", "\n")
			comment, rest, found := strings.Cut(was, "-- script --\n")
			require.True(t, found, "a case has a script")
			script, _, _ := strings.Cut(rest, "-- ")
			g := &golden{T: t, mem: runRecoveryScript(t, script)}
			fmt.Fprintf(g, "%s-- script --\n%s", comment, script)
			g.writeSections()
			if *update {
				was = g.text()
				require.NoError(t, os.WriteFile(path, []byte(was), 0o644))
			}
			require.Equal(t, was, g.text())
		})
	}
}

// golden writes down what a directory holds and what a recovery makes of it.
type golden struct {
	*testing.T
	strings.Builder
	mem *vfs.Mem
}

// cutSum is the checksum in a quarantine file's name. It depends on the store's salt, which is random.
var cutSum = regexp.MustCompile(`(\.store\.\d+\.)[0-9a-f]{8}`)

func (g *golden) text() string {
	short := strings.ReplaceAll(g.String(), testDir+"/", "")
	return cutSum.ReplaceAllString(short, "${1}checksum")
}

func (g *golden) line(format string, args ...any) { fmt.Fprintf(g, format+"\n", args...) }

func (g *golden) section(name string) { g.line("-- %s --", name) }

// writeSections writes every section down, and checks what holds in all cases.
func (g *golden) writeSections() {
	before := g.directory()
	g.section("the directory before")
	g.WriteString(before)
	g.section("what the survey finds")
	g.survey()
	g.section("what Check says")
	g.check()
	g.section("what Open changes")
	l, err := g.open()
	after := g.directory()
	if err != nil {
		require.Equal(g, before, after, "a refusal changes nothing")
		g.section("the refusal")
		g.line("%v", err)
		return
	}
	g.section("Recovery")
	g.recovery(l.Recovery())
	g.section("the directory after")
	if after == before {
		after = "as before\n"
	}
	g.WriteString(after)
	for _, policy := range []vfs.Policy{vfs.KeepNone, vfs.KeepAll} { // What was found is durable now.
		g.requireWhole(openTest(g, testOptions(g.mem.Crash(0, policy))), l.First(), l.Last())
	}
	g.requireWhole(l, l.First(), l.Last())
}

// requireWhole checks that a log holds the script's records with these offsets.
func (g *golden) requireWhole(l *Log, first, last uint64) {
	require.Equal(g, []uint64{first, last}, []uint64{l.First(), l.Last()})
	for offset := first; offset <= last; offset++ {
		require.True(g, bytes.HasPrefix(must(l.Read(offset)), fmt.Appendf(nil, "record %d;", offset)))
	}
	require.NoError(g, l.Close())
}

// open opens the log, and writes down each call that changes or syncs something.
func (g *golden) open() (*Log, error) {
	g.mem.SetHook(func(c vfs.Call) error {
		switch {
		case !c.Op.Changes():
		case c.Op == vfs.OpWrite:
			g.line("%s %s at %d, %d bytes", c.Op, c.Name, c.Off, c.Len)
		case c.Op == vfs.OpTruncate || c.Op == vfs.OpAllocate:
			g.line("%s %s to %d bytes", c.Op, c.Name, c.Len)
		default:
			g.line("%s %s", c.Op, c.Name)
		}
		return nil
	})
	defer g.mem.SetHook(nil)
	start := g.Len()
	l, err := Open(testDir, testOptions(g.mem))
	if g.Len() == start {
		g.line("nothing")
	}
	return l, err
}

// directory lists the files, and of each store what is where in it.
func (g *golden) directory() string {
	out := &golden{T: g.T, mem: g.mem}
	for _, name := range g.mem.Names() {
		data := must(g.mem.ReadFile(name))
		out.line("%s, %d bytes", name, len(data))
		if strings.HasSuffix(name, storeSuffix) {
			out.frames(name)
		}
	}
	return out.String()
}

// frames lists a store's frames, those after damaged bytes as well.
func (g *golden) frames(path string) {
	s, err := openStore(g.mem, path, true)
	require.NoError(g, err)
	size := must(s.file.Size())
	sc := s.scan(size)
	for at, gap := int64(headSize), false; at < size; {
		head, _, err := sc.head(at)
		if err != nil {
			if !gap {
				g.line("%8d %s", at, unframed(sc, at))
			}
			at, gap = at+frameAlign, true
			continue
		}
		gap = false
		sc.position, sc.next = at, head.offset(s.head.base)
		_, damage := sc.frame()
		g.line("%8d %s", at, describeFrame(head, sc.base, at, damage))
		at += head.size()
	}
	require.NoError(g, s.file.Close())
}

// unframed says what bytes are that belong to no frame, up to the next frame.
func unframed(sc *scanner, at int64) string {
	for ; at < sc.limit; at += frameAlign {
		if _, _, err := sc.head(at); err == nil {
			return "bytes that are no frame"
		}
		if view, err := sc.view(at, frameAlign); err != nil || !isZero(view) {
			return "bytes that are no frame"
		}
	}
	return "zeros"
}

func describeFrame(head frameHead, base uint64, at int64, damage error) string {
	text := fmt.Sprintf("%s, next offset %d", head.kind, head.offset(base))
	if head.kind == kindRecord {
		text = fmt.Sprintf("record %d", head.offset(base))
	}
	if text += fmt.Sprintf(", watermark %d", head.watermark(at)); damage != nil {
		text += ": " + damage.Error()
	}
	return text
}

func (g *golden) survey() {
	v, err := surveyDir(testDir, readOnly(testOptions(g.mem)))
	for i, s := range v.stores {
		next, end := v.tail.next, v.tail.end
		if i+1 < len(v.stores) {
			next, end = v.stores[i+1].head.base, v.stores[i+1].head.prevEnd
		}
		g.line("segment: base %d, last %d, end %d, generation %d", s.head.base, next-1, end, s.head.generation)
	}
	if len(v.stores) > 0 {
		witness := v.index(v.stores[len(v.stores)-1])
		g.tail(v.tail, witness.end)
	}
	if v.rolling {
		g.line("the seal of segment %d may be missing", v.stores[len(v.stores)-2].head.base)
	}
	for _, name := range v.leftovers {
		g.line("left over: %s", name)
	}
	if err != nil {
		g.line("damage: %v", err)
	}
	require.NoError(g, v.close())
}

func (g *golden) tail(t reading, witness int64) {
	g.line("first: the newest mark, seal or header says %d", t.first)
	g.line("proven: watermarks prove what is before %d", t.proven)
	if t.seal != 0 {
		g.line("stop at %d: a %s", t.end, t.seal)
	} else {
		g.line("stop at %d: %v", t.end, t.stop)
	}
	if t.written > t.cutFrom() {
		g.line("after that: bytes up to %d", t.written)
	}
	if t.proof != 0 {
		g.line("proof: the frame at %d was written when %d was durable", t.proof, t.end)
	}
	if witness != 0 {
		g.line("witness: the index says that the store was durable up to %d", witness)
	}
}

func (g *golden) check() {
	violations, err := Check(testDir, testOptions(g.mem))
	require.NoError(g, err)
	for _, v := range violations {
		g.line("%v", v)
	}
	if len(violations) == 0 {
		g.line("nothing")
	}
}

func (g *golden) recovery(r Recovery) {
	g.line("%s: offsets %d to %d in %d segments", r.Outcome, r.First, r.Last, r.Segments)
	if r.CutBytes > 0 {
		g.line("cut: %d bytes of %s from position %d", r.CutBytes, r.CutPath, r.CutPosition)
		g.line("kept in: %s", cmp.Or(r.QuarantinePath, "nothing"))
	}
	if r.ReloggedBytes > 0 {
		g.line("written again: %d bytes", r.ReloggedBytes)
	}
	for _, path := range r.RebuiltIndexes {
		g.line("index made again: %s", path)
	}
	for _, name := range r.Removed {
		g.line("removed: %s", name)
	}
}
