package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every command of the guides is one that the program takes. That it does what they say is what the other tests show.
func TestTheCommandsOfTheGuidesAreRight(t *testing.T) {
	for _, kind := range []string{"bbolt", "buntdb", "badger"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", "from-"+kind+".md"))
		require.NoError(t, err)
		commands := 0
		for line := range strings.Lines(string(text)) {
			words, _, _ := strings.Cut(line, "#")
			args, found := strings.CutPrefix(words, "walnut-migrate ")
			if !found {
				continue
			}
			set, err := parse(strings.Fields(args), io.Discard)
			require.NoError(t, err, line)
			require.Equal(t, kind, set.kind)
			commands++
		}
		require.NotZero(t, commands, kind)
	}
}
