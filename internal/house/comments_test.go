package house

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// publicPackages are the packages of the module that other programs import.
var publicPackages = []string{"kv", "wal", "snapshot", "server"}

// explainedPackages are those of nested modules, too.
var explainedPackages = append(slices.Clone(publicPackages), "cluster")

// conventionalMethods mean the same on every type, so a comment could only repeat that of the standard library.
var conventionalMethods = []string{"Error", "String"}

// commentRule complains about exported names of public packages that have no comment. A comment over a group of
// constants or variables explains its members. Fields are left to judgement.
func commentRule(s source) []string {
	if s.isTest() || s.isGenerated() || !slices.Contains(explainedPackages, s.dir()) {
		return nil
	}
	var complaints []string
	for _, name := range unexplained(s.tree) {
		complaints = append(complaints, s.complain(name.Pos(), "%s is exported and has no comment", name.Name))
	}
	return complaints
}

func unexplained(file *ast.File) []*ast.Ident {
	var names []*ast.Ident
	for _, declaration := range file.Decls {
		switch declared := declaration.(type) {
		case *ast.FuncDecl:
			if declared.Doc == nil && isPublic(declared) {
				names = append(names, declared.Name)
			}
		case *ast.GenDecl:
			if declared.Doc == nil && declared.Tok != token.IMPORT {
				names = append(names, unexplainedSpecs(declared.Specs)...)
			}
		}
	}
	return names
}

// isPublic reports whether a function is exported and so is the type that it is a method of.
func isPublic(function *ast.FuncDecl) bool {
	if function.Recv == nil {
		return function.Name.IsExported()
	}
	if slices.Contains(conventionalMethods, function.Name.Name) {
		return false
	}
	return function.Name.IsExported() && isPublicType(function.Recv.List[0].Type)
}

func isPublicType(expression ast.Expr) bool {
	switch typed := expression.(type) {
	case *ast.Ident:
		return typed.IsExported()
	case *ast.StarExpr:
		return isPublicType(typed.X)
	case *ast.IndexExpr:
		return isPublicType(typed.X)
	case *ast.IndexListExpr:
		return isPublicType(typed.X)
	}
	return false
}

func unexplainedSpecs(specs []ast.Spec) []*ast.Ident {
	var names []*ast.Ident
	for _, spec := range specs {
		switch declared := spec.(type) {
		case *ast.TypeSpec:
			if declared.Doc == nil && declared.Comment == nil && declared.Name.IsExported() {
				names = append(names, declared.Name)
			}
		case *ast.ValueSpec:
			if declared.Doc == nil && declared.Comment == nil {
				names = append(names, exported(declared.Names)...)
			}
		}
	}
	return names
}

func exported(names []*ast.Ident) []*ast.Ident {
	return slices.DeleteFunc(slices.Clone(names), func(name *ast.Ident) bool { return !name.IsExported() })
}

func TestExportedNamesAreExplained(t *testing.T) { obey(t, commentRule, allSources(t)) }

func TestPublicPackagesAreExplained(t *testing.T) {
	explained := map[string]bool{}
	for _, s := range allSources(t) {
		explained[s.dir()] = explained[s.dir()] || s.tree.Doc != nil && !s.isTest()
	}
	for _, dir := range explainedPackages {
		if _, err := os.Stat(filepath.Join(moduleRoot, dir)); err == nil {
			require.True(t, explained[dir], "package %s has no package comment", dir)
		}
	}
}

func TestAnUnexplainedNameIsNoticed(t *testing.T) {
	file := func(declaration string) string { return "package p\n\n" + declaration + "\n" }
	judge(t, commentRule, []planted{
		{"a function", "kv/db.go", file("func Open() {}"), "Open is exported"},
		{"a function with a comment", "kv/db.go", file("// Open opens.\nfunc Open() {}"), ""},
		{"a method", "kv/db.go", file("func (db *DB) Get() {}"), "Get is exported"},
		{"a method of a generic type", "wal/log.go", file("func (l *Log[T]) Get() {}"), "Get is exported"},
		{"a method that means the same everywhere", "kv/db.go", file("func (e Err) Error() string { return `` }"), ""},
		{"a method of an unexported type", "kv/db.go", file("func (s *state) Get() {}"), ""},
		{"a type", "kv/db.go", file("type DB struct{}"), "DB is exported"},
		{"a constant", "kv/db.go", file("const (\n\tLimit = 1\n)"), "Limit is exported"},
		{"a constant in an explained group", "kv/db.go", file("// Limits.\nconst (\n\tLimit = 1\n)"), ""},
		{"a constant explained on its line", "kv/db.go", file("const (\n\tLimit = 1 // In bytes.\n)"), ""},
		{"a variable among unexported ones", "kv/db.go", file("var a, Limit, b int"), "Limit is exported"},
		{"an unexported name", "kv/db.go", file("func open() {}"), ""},
		{"a name of a program", "cmd/kvctl/main.go", file("func Open() {}"), ""},
	})
}
