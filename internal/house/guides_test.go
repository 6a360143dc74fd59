package house

import (
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// guideRule complains about Go code of a page that isn't in the code which is compiled.
func guideRule(name, markdown, compiled string) []string {
	var complaints []string
	for _, match := range blockPattern.FindAllStringSubmatch(markdown, -1) {
		if code := match[2]; match[1] == "go" && !strings.Contains(compiled, code) {
			first, _, _ := strings.Cut(code, "\n")
			complaints = append(complaints, name+": the block that begins with "+first+" is in no file that is compiled")
		}
	}
	return complaints
}

// The code is compiled and run by the module in tools/migrate, which has the other stores.
func TestGuidesShowCodeThatIsCompiled(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(moduleRoot, "docs", "from-*.md"))
	require.NoError(t, err)
	require.Len(t, pages, 3)
	for _, file := range pages {
		page := path.Join("docs", filepath.Base(file))
		peer := strings.TrimSuffix(strings.TrimPrefix(path.Base(page), "from-"), ".md")
		text := string(read(t, page))
		require.Contains(t, text, "```go\n", page)
		report(t, guideRule(page, text, string(read(t, "tools/migrate/guide_"+peer+"_test.go"))))
	}
}

func TestCodeThatIsNotCompiledIsNoticed(t *testing.T) {
	const compiled = "package p\n\nfunc a() {\n}\n\nfunc b() {\n}\n"
	require.Empty(t, guideRule("p.md", "```go\nfunc a() {\n}\n```\n\n```sh\nls\n```\n", compiled))
	complaints := guideRule("p.md", "```go\nfunc a() {\n}\n```\n\n```go\nfunc c() {\n}\n```\n", compiled)
	require.Len(t, complaints, 1)
	require.Contains(t, complaints[0], "func c() {")
}
