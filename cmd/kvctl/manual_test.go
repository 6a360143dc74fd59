package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/stretchr/testify/require"
)

// The manuals are made of the help texts, here and not in kvctl, so that the program needs nothing for them. `make manual` and
// `make man` set these flags.
var (
	writeManual = flag.Bool("manual", false, "write docs/kvctl.md")
	manDir      = flag.String("man", "", "the directory to write the man pages to")
)

const (
	manualPath = "../../docs/kvctl.md"
	manualHead = `# kvctl

All commands, as their help shows them. This page is made of the help texts by ` + "`make manual`" + `; a test compares it with them.

`
)

// manual returns docs/kvctl.md: a list of the commands, and the help of each.
func manual(t *testing.T) string {
	t.Helper()
	var list, helps strings.Builder
	everyCommand(func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		fmt.Fprintf(&list, "- [%s](#%s): %s\n", path, strings.ReplaceAll(path, " ", "-"), cmd.Short)
		var help bytes.Buffer
		args := append(strings.Fields(path)[1:], "--help")
		require.Zero(t, run(args, nil, &help, &help, func(string) string { return "" }))
		text := help.String()
		if before, after, found := strings.Cut(text, "\nFlags of every command:\n"); found { // They stand under kvctl itself.
			_, after, _ = strings.Cut(after, "\n\n")
			text = strings.TrimSpace(before+"\n"+after) + "\n"
		}
		fmt.Fprintf(&helps, "\n## %s\n\n```text\n%s```\n", path, text)
	})
	return manualHead + list.String() + helps.String()
}

func TestTheManualIsThatOfTheHelpTexts(t *testing.T) {
	fresh := manual(t)
	if *writeManual {
		require.NoError(t, os.WriteFile(manualPath, []byte(fresh), 0o644))
	}
	committed, err := os.ReadFile(manualPath)
	require.NoError(t, err)
	require.Equal(t, fresh, string(committed), "docs/kvctl.md is stale: run make manual")
}

// TestManPagesHaveWhatHelpHas makes a page for each command, the same each time.
func TestManPagesHaveWhatHelpHas(t *testing.T) {
	dir := *manDir
	if dir == "" {
		dir = t.TempDir()
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	root := newRoot(newTestApp())
	root.InitDefaultHelpCmd()
	root.DisableAutoGenTag = true
	markUp(root)
	undated := time.Time{} // A page is the same whenever it is made.
	require.NoError(t, doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Walnut", Manual: "Walnut", Date: &undated}, dir))
	everyCommand(func(cmd *cobra.Command) {
		page, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		if cmd.Name() == "help" || cmd.Hidden {
			return // cobra makes none.
		}
		require.NoError(t, err)
		plain := roffEscapes.Replace(string(page))
		for word := range strings.FieldsSeq(cmd.Short + " " + cmd.Long + " " + cmd.Example) {
			require.Contains(t, plain, word, "%s: markup ate it", cmd.CommandPath())
		}
	})
}

// roffEscapes takes out of a man page what a word may have inside.
var roffEscapes = strings.NewReplacer(`\-`, "-", `\e`, `\`, `\&`, "", `\\`, `\`)

// markUp makes Markdown of the descriptions, as cobra's man pages expect: an indented paragraph is to stay as it is, and a character
// that means something to Markdown stands for itself elsewhere.
func markUp(cmd *cobra.Command) {
	paragraphs := strings.Split(cmd.Long, "\n\n")
	for i, paragraph := range paragraphs {
		if strings.HasPrefix(paragraph, "  ") {
			paragraphs[i] = "    " + strings.ReplaceAll(paragraph, "\n", "\n    ")
		} else {
			paragraphs[i] = markdownEscapes.Replace(paragraph)
		}
	}
	cmd.Long = strings.Join(paragraphs, "\n\n")
	for _, child := range cmd.Commands() {
		markUp(child)
	}
}

var markdownEscapes = strings.NewReplacer(`\`, `\\`, "<", `\<`, "*", `\*`, "_", `\_`, "[", `\[`, "`", "\\`")
