package house

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// leftover finds the words that mark unfinished work. Here they are put together, so that this file passes.
var leftover = regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"}, "|") + `)\b`)

// leftoverRule complains about unfinished work in a file: its author knows best what is missing, and a reader can't do
// anything about it.
func leftoverRule(name, text string) []string {
	return lineRule(name, text, leftover, "finish it or file it")
}

// lineRule complains about the lines of a file that have one of some words.
func lineRule(name, text string, words *regexp.Regexp, advice string) []string {
	var complaints []string
	for i, line := range strings.Split(text, "\n") {
		if word := words.FindString(line); word != "" {
			complaints = append(complaints, fmt.Sprintf("%s:%d: %s: %s", name, i+1, word, advice))
		}
	}
	return complaints
}

// isProgram reports whether a file is a source that is run, built, or generated from.
func isProgram(name string) bool {
	if path.Base(name) == "Makefile" || strings.HasPrefix(name, ".ci/") {
		return true
	}
	return slices.Contains([]string{".go", ".proto", ".sh", ".txtar"}, path.Ext(name))
}

func TestNothingIsLeftUnfinished(t *testing.T) {
	walkAll(t, func(name string) {
		if isProgram(name) {
			report(t, leftoverRule(name, string(read(t, name))))
		}
	})
}

func TestALeftoverIsNoticed(t *testing.T) {
	require.Empty(t, leftoverRule("a.go", "mktemp -t demo."+strings.Repeat("X", 6)+"\n// We ha"+"cked nothing.\n"))
	complaints := leftoverRule("a.go", "package p\n\n// TO"+"DO: the other half.\n")
	require.Len(t, complaints, 1)
	require.Contains(t, complaints[0], "a.go:3")
}

func TestProgramsAreRecognized(t *testing.T) {
	for _, name := range []string{"Makefile", ".ci/run", "kv/db.go", "kv/kvpb/commit.proto", "scripts/fetch-data.sh"} {
		require.True(t, isProgram(name), name)
	}
	require.False(t, isProgram("README.md"))
}
