package house

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	fencePattern   = regexp.MustCompile("(?ms)^```.*?^```")
	codePattern    = regexp.MustCompile("`[^`\n]*`")
	linkPattern    = regexp.MustCompile(`\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)|(?m:^\[[^\]]+\]:\s+(\S+))`)
	headingPattern = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
	targetPattern  = regexp.MustCompile("`make ([a-z][a-z-]*)")
)

// prose drops code from Markdown, since there are no links in code.
func prose(markdown string) string {
	return codePattern.ReplaceAllString(fencePattern.ReplaceAllString(markdown, ""), "")
}

// anchors returns the names that a document's headings can be linked to by.
func anchors(markdown string) map[string]bool {
	names := map[string]bool{}
	for _, heading := range headingPattern.FindAllStringSubmatch(fencePattern.ReplaceAllString(markdown, ""), -1) {
		base := anchor(heading[1])
		name := base
		for i := 1; names[name]; i++ {
			name = fmt.Sprintf("%s-%d", base, i)
		}
		names[name] = true
	}
	return names
}

// anchor makes a heading's name as hosting sites do: lower case, spaces as hyphens, punctuation dropped.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^\p{L}\p{N}\s_-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(strings.TrimSpace(kept), " ", "-")
}

// linkRule complains about links of a document that lead to no file, or to no heading. Links to other sites are not
// followed. load returns a file's content by its path below the module's root.
func linkRule(name, markdown string, load func(name string) (string, error)) []string {
	var complaints []string
	for _, match := range linkPattern.FindAllStringSubmatch(prose(markdown), -1) {
		link := match[1] + match[2]
		if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
			continue
		}
		file, fragment, _ := strings.Cut(link, "#")
		target, content := name, markdown
		if file != "" {
			target = path.Join(path.Dir(name), file)
			var err error
			if content, err = load(target); err != nil {
				complaints = append(complaints, fmt.Sprintf("%s: link %s leads to no file", name, link))
				continue
			}
		}
		if fragment != "" && strings.HasSuffix(target, ".md") && !anchors(content)[fragment] {
			complaints = append(complaints, fmt.Sprintf("%s: link %s leads to no heading", name, link))
		}
	}
	return complaints
}

// loadFile is linkRule's view of the module; a directory is a file without content.
func loadFile(name string) (string, error) {
	file := filepath.Join(moduleRoot, name)
	info, err := os.Stat(file)
	if err != nil || info.IsDir() {
		return "", err
	}
	text, err := os.ReadFile(file)
	return string(text), err
}

// targetRule complains about make targets that a document names and the Makefile doesn't have.
func targetRule(name, markdown, makefile string) []string {
	var complaints []string
	for _, match := range targetPattern.FindAllStringSubmatch(markdown, -1) {
		if !strings.Contains(makefile, "\n"+match[1]+":") {
			complaints = append(complaints, fmt.Sprintf("%s: there is no make %s", name, match[1]))
		}
	}
	return complaints
}

func TestDocumentsLeadSomewhere(t *testing.T) {
	makefile := string(read(t, "Makefile"))
	walk(t, func(name string) {
		if strings.HasSuffix(name, ".md") {
			text := string(read(t, name))
			report(t, linkRule(name, text, loadFile))
			report(t, targetRule(name, text, makefile))
		}
	})
}

func TestALinkThatLeadsNowhereIsNoticed(t *testing.T) {
	files := map[string]string{
		"docs/design.md": "# Design\n\n## 3. Promises, P1 to P10\n\n## Words\n\n## Words\n",
		"kv/db.go":       "package kv\n",
	}
	load := func(name string) (string, error) {
		if text, found := files[name]; found {
			return text, nil
		}
		return "", os.ErrNotExist
	}
	cases := []struct{ name, markdown, want string }{
		{"a file", "see [it](../kv/db.go)", ""},
		{"a file that is gone", "see [it](../kv/gone.go)", "no file"},
		{"a heading", "see [it](design.md#3-promises-p1-to-p10)", ""},
		{"the second of two equal headings", "see [it](design.md#words-1)", ""},
		{"a heading that is gone", "see [it](design.md#4-layers)", "no heading"},
		{"a heading of the same document", "# Top\n\n[up](#top)", ""},
		{"no such heading in the same document", "# Top\n\n[up](#bottom)", "no heading"},
		{"a link defined at the end", "see [it]\n\n[it]: gone.md\n", "no file"},
		{"another site", "see [it](https://example.org/gone)", ""},
		{"code in a line", "write `[it](gone.md)`", ""},
		{"a block of code", "```\n[it](gone.md)\n```\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			complaints := strings.Join(linkRule("docs/testing.md", c.markdown, load), "\n")
			require.Equal(t, c.want != "", complaints != "", complaints)
			require.Contains(t, complaints, c.want)
		})
	}
}

func TestAMissingMakeTargetIsNoticed(t *testing.T) {
	require.Empty(t, targetRule("README.md", "run `make demo`", "\ndemo: build\n"))
	require.Len(t, targetRule("README.md", "run `make demos`", "\ndemo: build\n"), 1)
}
