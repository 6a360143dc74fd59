package house

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// libraryModules is all that a program which imports kv, wal or snapshot has to compile besides the standard library.
var libraryModules = []string{
	"github.com/google/btree",
	"github.com/klauspost/compress", // snapshot's blocks; kvctl reads .zst
	"github.com/tysonmote/gommap",
	"google.golang.org/protobuf",
}

// otherModules serve kvctl and the tests, directly or through one of the others.
var otherModules = []string{
	"github.com/anishathalye/porcupine",    // kv's serializability test
	"github.com/cpuguy83/go-md2man/v2",     // kvctl's man pages, by way of cobra/doc
	"github.com/creack/pty",                // kvctl's tests of the shell at a terminal
	"github.com/inconshreveable/mousetrap", // cobra
	"github.com/mitchellh/colorstring",     // progressbar
	"github.com/rivo/uniseg",               // progressbar
	"github.com/rogpeppe/go-internal",      // testscript
	"github.com/russross/blackfriday/v2",   // go-md2man
	"github.com/schollz/progressbar/v3",
	"github.com/spf13/cobra",
	"github.com/spf13/pflag", // cobra
	"github.com/stretchr/testify",
	"go.yaml.in/yaml/v3", // testify
	"golang.org/x/sys",   // vfs on Windows, progressbar, testscript
	"golang.org/x/term",
	"golang.org/x/tools", // testscript
	"pgregory.net/rapid", // kv's model test
}

// uninvited returns the modules that no list allows.
func uninvited(modules []string, lists ...[]string) []string {
	allowed := slices.Concat(lists...)
	return slices.DeleteFunc(slices.Clone(modules), func(module string) bool {
		return slices.Contains(allowed, module)
	})
}

func goOutput(t *testing.T, args ...string) []byte {
	t.Helper()
	command := exec.Command("go", args...)
	command.Dir = moduleRoot
	out, err := command.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		t.Fatalf("go %s: %s", strings.Join(args, " "), exit.Stderr)
	}
	require.NoError(t, err)
	return out
}

func TestTheModuleRequiresOnlyWhatItLists(t *testing.T) {
	var file struct{ Require []struct{ Path string } }
	require.NoError(t, json.Unmarshal(goOutput(t, "mod", "edit", "-json"), &file))
	required := make([]string, 0, len(file.Require))
	for _, one := range file.Require {
		required = append(required, one.Path)
	}
	require.NotEmpty(t, required)
	require.Empty(t, uninvited(required, libraryModules, otherModules), "allow a module here, with its reason, or drop it")
}

// Users of the library download what go.mod and go.sum name. Other stores are named by the modules in bench and tools/migrate alone.
func TestOtherStoresStayInTheirOwnModules(t *testing.T) {
	peers := regexp.MustCompile(`(?m)^\s*(go\.etcd\.io/bbolt|github\.com/tidwall/buntdb|github\.com/dgraph-io/badger/v4) `)
	for _, name := range []string{"bench/go.mod", "tools/migrate/go.mod"} {
		require.Len(t, peers.FindAll(read(t, name), -1), 3, name)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		require.Empty(t, peers.FindAll(read(t, name), -1), name)
	}
}

// The go command installs no program at a version from a module that replaces or excludes others.
func TestKvctlCanBeInstalledAtAVersion(t *testing.T) {
	var file struct{ Replace, Exclude []any }
	require.NoError(t, json.Unmarshal(goOutput(t, "mod", "edit", "-json"), &file))
	require.Empty(t, file.Replace)
	require.Empty(t, file.Exclude)
	require.Contains(t, string(read(t, "README.md")), "go install "+modulePath+"/cmd/kvctl@")
}

func TestTheLibraryCompilesOnlyWhatItLists(t *testing.T) {
	args := []string{"list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"}
	for _, dir := range publicPackages {
		if _, err := os.Stat(filepath.Join(moduleRoot, dir)); err == nil {
			args = append(args, "./"+dir)
		}
	}
	modules := strings.Fields(string(goOutput(t, args...)))
	require.Contains(t, modules, modulePath)
	require.Empty(t, uninvited(modules, libraryModules, []string{modulePath}))
}

func TestAnUninvitedModuleIsNoticed(t *testing.T) {
	peers := []string{"github.com/google/btree", "go.etcd.io/bbolt"}
	require.Equal(t, []string{"go.etcd.io/bbolt"}, uninvited(peers, libraryModules, otherModules))
}
