package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var blockPattern = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```")

// block returns the first fenced block of a language.
func block(t *testing.T, markdown []byte, language string) string {
	t.Helper()
	for _, match := range blockPattern.FindAllSubmatch(markdown, -1) {
		if string(match[1]) == language {
			return string(match[2])
		}
	}
	t.Fatalf("no block of %s", language)
	return ""
}

func TestTheProgramInTheReadmePrintsWhatTheReadmeSays(t *testing.T) {
	readme := read(t, "README.md")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(block(t, readme, "go")), 0o600))
	goOutput(t, "build", "-o", filepath.Join(dir, "program"), filepath.Join(dir, "main.go"))

	program := exec.Command(filepath.Join(dir, "program"))
	program.Dir = dir
	printed, err := program.Output()
	require.NoError(t, err)
	require.Equal(t, block(t, readme, "text"), string(printed))
}
