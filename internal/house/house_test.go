// Package house holds the house rules that a machine can check, as tests: which package may import which, how long a
// function may be, that every exported name is explained, that links lead somewhere, that nothing is left unfinished, that
// no phrase says the opposite of what it means. CONTRIBUTING.md gives the reasons. Every rule is a function from a source to
// its complaints, and is also tested on a planted offence: a rule that never complains proves nothing.
package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	modulePath = "github.com/walnutkv/walnut"
	moduleRoot = "../.."
)

// source is one parsed Go file. Its name is the path below the module's root, with slashes.
type source struct {
	name  string
	files *token.FileSet
	tree  *ast.File
}

func parse(name string, text []byte) (source, error) {
	files := token.NewFileSet()
	tree, err := parser.ParseFile(files, name, text, parser.ParseComments)
	return source{name: name, files: files, tree: tree}, err
}

func (s source) dir() string       { return path.Dir(s.name) }
func (s source) isTest() bool      { return strings.HasSuffix(s.name, "_test.go") }
func (s source) isGenerated() bool { return ast.IsGenerated(s.tree) }

func (s source) line(pos token.Pos) int { return s.files.Position(pos).Line }

// complain makes a complaint that an editor can jump to.
func (s source) complain(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.name, s.line(pos), fmt.Sprintf(format, args...))
}

// walk calls visit with the name of every file of the module. It leaves out nested modules, the output of builds, and hidden
// directories other than .ci.
func walk(t *testing.T, visit func(name string)) {
	t.Helper()
	walkBelow(t, isNested, visit)
}

// walkAll is walk with the nested modules.
func walkAll(t *testing.T, visit func(name string)) {
	t.Helper()
	walkBelow(t, func(string) bool { return false }, visit)
}

func walkBelow(t *testing.T, skip func(dir string) bool, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(moduleRoot, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(moduleRoot, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		if entry.IsDir() && (skip(name) || isForeignDir(name)) {
			return fs.SkipDir
		}
		if entry.IsDir() {
			return nil
		}
		visit(name)
		return nil
	})
	require.NoError(t, err)
}

// isNested reports whether a directory is that of another module.
func isNested(dir string) bool {
	_, err := os.Stat(filepath.Join(moduleRoot, dir, "go.mod"))
	return err == nil && dir != "."
}

// isForeignDir reports whether a directory holds the output of builds or the files of other tools.
func isForeignDir(dir string) bool {
	return dir == "bin" || dir == "dist" || strings.HasPrefix(dir, ".") && dir != "." && dir != ".ci"
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot, name))
	require.NoError(t, err)
	return text
}

// sources returns every Go file of the module, parsed.
func sources(t *testing.T) []source {
	t.Helper()
	return sourcesOf(t, walk)
}

// allSources is sources with the nested modules.
func allSources(t *testing.T) []source {
	t.Helper()
	return sourcesOf(t, walkAll)
}

func sourcesOf(t *testing.T, walk func(t *testing.T, visit func(name string))) []source {
	t.Helper()
	var all []source
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "/testdata/") {
			return
		}
		parsed, err := parse(name, read(t, name))
		require.NoError(t, err)
		all = append(all, parsed)
	})
	require.NotEmpty(t, all)
	return all
}

// obey fails the test with every complaint that a rule has about some sources.
func obey(t *testing.T, rule func(source) []string, sources []source) {
	t.Helper()
	var complaints []string
	for _, s := range sources {
		complaints = append(complaints, rule(s)...)
	}
	report(t, complaints)
}

func report(t *testing.T, complaints []string) {
	t.Helper()
	for _, complaint := range complaints {
		t.Error(complaint)
	}
}

// planted is a source that a rule must or must not complain about.
type planted struct {
	name string // A sentence that says what is planted.
	file string
	text string
	want string // A part of the only complaint; empty if there must be none.
}

func judge(t *testing.T, rule func(source) []string, cases []planted) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse(c.file, []byte(c.text))
			require.NoError(t, err)
			complaints := rule(s)
			if c.want == "" {
				require.Empty(t, complaints)
				return
			}
			require.Len(t, complaints, 1)
			require.Contains(t, complaints[0], c.want)
		})
	}
}
