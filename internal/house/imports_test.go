package house

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows says which packages of the module a package may import, tests included. The first entry that names a package
// decides; "/..." stands for everything below.
var arrows = []struct {
	from string
	to   []string
}{
	{from: "cmd/kvctl", to: []string{"kv", "server", "internal/histogram", "internal/admin", "internal/mutual", "internal/mutual/mutualtest", "internal/allocated"}},
	{from: "examples/...", to: []string{"kv", "examples/serve"}},
	{from: "server", to: []string{"kv", "internal/..."}},
	{from: "kv/kvpb"},
	{from: "kv", to: []string{"wal", "snapshot", "kv/kvpb", "internal/..."}},
	{from: "wal", to: []string{"internal/..."}},
	{from: "snapshot", to: []string{"internal/..."}},
	{from: "internal/kernel", to: []string{"kv", "internal/..."}},
	{from: "internal/...", to: []string{"internal/..."}},
}

// guests says which files may import a module other than this one. Tests in the same directory may too.
var guests = []struct {
	module string
	files  []string // Patterns of package path.
}{
	{module: "github.com/google/btree", files: []string{"kv/tree.go", "kv/deadlines.go"}},
	{module: "github.com/tysonmote/gommap", files: []string{"internal/vfs/map_gommap.go"}},
	{module: "google.golang.org/protobuf", files: []string{"kv/record.go", "kv/kvpb/*.go"}},
	{module: "github.com/klauspost/compress", files: []string{"cmd/kvctl/*.go", "snapshot/compression.go"}},
	{module: "github.com/anishathalye/porcupine", files: []string{"kv/serial_*test.go"}},
	{module: "github.com/creack/pty", files: []string{"cmd/kvctl/*_test.go"}},
	{module: "github.com/rogpeppe/go-internal", files: []string{"cmd/kvctl/*_test.go"}},
	{module: "github.com/schollz/progressbar/v3", files: []string{"cmd/kvctl/*.go"}},
	{module: "github.com/spf13/cobra", files: []string{"cmd/kvctl/*.go"}},
	{module: "github.com/spf13/pflag", files: []string{"cmd/kvctl/*.go"}},
	{module: "github.com/stretchr/testify", files: []string{"*_test.go", "*/*_test.go", "*/*/*_test.go"}},
	{module: "golang.org/x/sys", files: []string{"internal/vfs/*_windows.go"}},
	{module: "golang.org/x/term", files: []string{"cmd/kvctl/*.go"}},
	{module: "pgregory.net/rapid", files: []string{"kv/random_*test.go"}},
}

// covers reports whether a pattern of arrows names a package.
func covers(pattern, name string) bool {
	if parent, found := strings.CutSuffix(pattern, "/..."); found {
		return strings.HasPrefix(name, parent+"/")
	}
	return name == pattern
}

// importRule complains about imports that no arrow allows.
func importRule(s source) []string {
	var complaints []string
	for _, spec := range s.tree.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		ours, isOurs := strings.CutPrefix(imported, modulePath+"/")
		switch {
		case isOurs && ours != s.dir() && !mayImport(s.dir(), ours):
			complaints = append(complaints, s.complain(spec.Pos(), "%s must not import %s", s.dir(), ours))
		case !isOurs && isForeign(imported) && !mayHost(s, imported):
			complaints = append(complaints, s.complain(spec.Pos(), "must not import %s", imported))
		}
	}
	return complaints
}

func mayImport(from, to string) bool {
	for _, arrow := range arrows {
		if covers(arrow.from, from) {
			return slices.ContainsFunc(arrow.to, func(pattern string) bool { return covers(pattern, to) })
		}
	}
	return false
}

// isForeign reports whether an import is of another module. Paths of the standard library have no domain.
func isForeign(imported string) bool {
	host, _, _ := strings.Cut(imported, "/")
	return strings.Contains(host, ".")
}

func mayHost(s source, imported string) bool {
	for _, guest := range guests {
		if imported != guest.module && !strings.HasPrefix(imported, guest.module+"/") {
			continue
		}
		return slices.ContainsFunc(guest.files, func(pattern string) bool {
			matched, _ := path.Match(pattern, s.name)
			return matched || s.isTest() && path.Dir(pattern) == s.dir()
		})
	}
	return false
}

func TestImportsFollowTheArrows(t *testing.T) { obey(t, importRule, sources(t)) }

func TestAnImportAgainstTheArrowsIsNoticed(t *testing.T) {
	file := func(imported string) string { return "package p\n\nimport _ \"" + imported + "\"\n" }
	ours := func(name string) string { return file(modulePath + "/" + name) }
	judge(t, importRule, []planted{
		{"kv may import the log", "kv/db.go", ours("wal"), ""},
		{"kv may import what is internal", "kv/db.go", ours("internal/vfs"), ""},
		{"an outside test may import its own package", "wal/log_test.go", ours("wal"), ""},
		{"the log must not import kv", "wal/log.go", ours("kv"), "wal must not import kv"},
		{"a test is held to the arrows too", "wal/log_test.go", ours("kv"), "wal must not import kv"},
		{"log and snapshot stay apart", "snapshot/writer.go", ours("wal"), "snapshot must not import wal"},
		{"kvctl stands on kv alone", "cmd/kvctl/get.go", ours("wal"), "cmd/kvctl must not import wal"},
		{"kvctl doesn't reach the schema", "cmd/kvctl/get.go", ours("kv/kvpb"), "must not import kv/kvpb"},
		{"examples stand on kv alone", "examples/jobs/main.go", ours("wal"), "examples/jobs must not import wal"},
		{"examples bring no module", "examples/jobs/main.go", file("github.com/spf13/cobra"), "must not import"},
		{"what is internal imports nothing above it", "internal/vfs/os.go", ours("wal"), "must not import wal"},
		{"a package without an arrow imports nothing", "extra/extra.go", ours("kv"), "extra must not import kv"},
		{"the standard library is free", "wal/log.go", file("encoding/binary"), ""},
		{"one file holds the tree", "kv/tree.go", file("github.com/google/btree"), ""},
		{"no other file knows the tree", "kv/db.go", file("github.com/google/btree"), "must not import"},
		{"tests beside it may", "kv/tree_test.go", file("github.com/google/btree"), ""},
		{"tests elsewhere may not", "wal/log_test.go", file("github.com/google/btree"), "must not import"},
		{"the log knows no protobuf", "wal/log.go", file("google.golang.org/protobuf/proto"), "must not import"},
		{"one file encodes", "kv/record.go", file("google.golang.org/protobuf/encoding/protowire"), ""},
		{"one file maps", "internal/vfs/os.go", file("github.com/tysonmote/gommap"), "must not import"},
		{"one file compresses", "snapshot/writer.go", file("github.com/klauspost/compress/s2"), "must not import"},
		{"one test draws", "kv/random_test.go", file("pgregory.net/rapid"), ""},
		{"the store draws nothing", "kv/db.go", file("pgregory.net/rapid"), "must not import"},
		{"assertions are for tests", "kv/db.go", file("github.com/stretchr/testify/require"), "must not import"},
		{"a module that no line allows", "kv/db.go", file("go.etcd.io/bbolt"), "must not import go.etcd.io/bbolt"},
	})
}
