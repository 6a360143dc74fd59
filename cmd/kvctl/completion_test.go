package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// offered returns what a shell is told to offer for the last of some words.
func offered(t *testing.T, words ...string) (names []string, directive cobra.ShellCompDirective) {
	t.Helper()
	var out, stderr bytes.Buffer
	require.Zero(t, run(append([]string{"__complete"}, words...), nil, &out, &stderr, func(string) string { return "" }), stderr.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	_, err := fmt.Sscanf(lines[len(lines)-1], ":%d", &directive)
	require.NoError(t, err)
	return lines[:len(lines)-1], directive
}

// TestCompletionOffersFilesOnlyWhereAFileIsWanted asks for each argument and each flag of each command.
func TestCompletionOffersFilesOnlyWhereAFileIsWanted(t *testing.T) {
	files := map[string]bool{
		"kvctl import": true, "kvctl restore": true, "kvctl backup": true, "kvctl txn": true,
		"kvctl snapshot inspect": true, "kvctl snapshot verify": true, "kvctl cluster backup": true, "kvctl cluster restore": true,
	}
	fileFlags := map[string]bool{
		"dir": true, "archive": true, "increment": true, "cert": true, "ca": true,
		"unix": true, "tls-cert": true, "tls-key": true, "tls-ca": true, "users": true, "password-file": true,
	}
	everyCommand(func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		words := strings.Fields(path)[1:]
		_, directive := offered(t, append(words, "")...)
		require.Equal(t, files[path], directive&cobra.ShellCompDirectiveNoFileComp == 0, path)
		if strings.Contains(cmd.Use, "FILE|-") {
			_, directive = offered(t, append(words, "file", "")...)
			require.Equal(t, cobra.ShellCompDirectiveNoFileComp, directive, "%s takes one file", path)
		}
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			if flag.NoOptDefVal != "" {
				return // A switch takes no word.
			}
			_, directive := offered(t, append(words, "--"+flag.Name, "")...)
			isFile := fileFlags[flag.Name] || flag.Name == "key" && path != "kvctl import" // Whose key is a column.
			require.Equal(t, isFile, directive&cobra.ShellCompDirectiveNoFileComp == 0, "%s --%s", path, flag.Name)
		})
	})
}

func TestCompletionOffersNoCommandThatHelpDoesNotList(t *testing.T) {
	names, _ := offered(t, "help", "")
	require.NotEmpty(t, names)
	for _, name := range names {
		require.NotContains(t, name, "__")
	}
}
