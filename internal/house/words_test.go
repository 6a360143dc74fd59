package house

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// misleading finds two phrases that say the opposite of what a writer may mean: in English, what lies ahead is still to
// come. Here they are put together, so that this file passes.
var misleading = regexp.MustCompile(`(?i)` + "beh" + "ind" + `|` + "in fr" + "ont" + `\b`)

// wordRule complains about misleading phrases in a file.
func wordRule(name, text string) []string {
	return lineRule(name, text, misleading, "say before, earlier or up to; after, later, past or follows")
}

func TestNoPhraseMeansItsOpposite(t *testing.T) {
	walkAll(t, func(name string) {
		covered := isProgram(name) || path.Ext(name) == ".md"
		if covered {
			report(t, wordRule(name, string(read(t, name))))
		}
	})
}

func TestAMisleadingPhraseIsNoticed(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"a record after another", "wal/log.go", "// The record beh" + "ind it.\n", "wal/log.go:1"},
		{"at the start of a sentence", "README.md", "\nIn fr" + "ont of it lies a mark.\n", "README.md:2"},
		{"over two lines", "wal/log.go", "// It lies in fr" + "ont\n// of it.\n", "wal/log.go:1"},
		{"in a name", "kv/stats.go", "var bytesBeh" + "ind int\n", "kv/stats.go:1"},
		{"other words", "wal/log.go", "// What follows lies in frontier towns, before the hindmost.\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			complaints := wordRule(c.file, c.text)
			require.Equal(t, c.want != "", len(complaints) == 1, "%q", complaints)
			require.Contains(t, strings.Join(complaints, "\n"), c.want)
		})
	}
}
