package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const page = "../../docs/replication.md"

// freeTen returns a number to which each digit from 1 to 9 can be appended for a port that nothing listens on.
func freeTen(t *testing.T, from int) int {
next:
	for ten := from; ; ten++ {
		for digit := 1; digit < 10; digit++ {
			listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d%d", ten, digit))
			if err != nil {
				continue next
			}
			require.NoError(t, listener.Close())
		}
		return ten
	}
}

func TestThePageHasTheHelpText(t *testing.T) {
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(text), "```text\n"+usage+"```\n", "the flags in docs/replication.md are stale")
}

// TestTheCommandsOfThePageWork runs the blocks about walnutd one after another in one shell, with other ports.
func TestTheCommandsOfThePageWork(t *testing.T) {
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## walnutd\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	script := "trap 'kill -9 $(jobs -p) 2>/dev/null' EXIT\n"
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(section, -1)
	require.Len(t, blocks, 5)
	for _, block := range blocks {
		script += block[1]
	}
	nodes := freeTen(t, 2500)
	ports := strings.NewReplacer(":700", fmt.Sprintf(":%d", nodes), ":707", fmt.Sprintf(":%d", freeTen(t, nodes+1)))

	bin, err := filepath.Abs(os.Args[0])
	require.NoError(t, err)
	work := t.TempDir()
	require.NoError(t, os.Symlink(bin, filepath.Join(work, "walnutd")))
	build := exec.Command("go", "build", "-o", filepath.Join(work, "kvctl"), "./cmd/kvctl")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", ports.Replace(script))
	shell.Dir = work
	shell.Env = append(os.Environ(), "WALNUTD_TEST=1", "PATH="+work+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err = shell.CombinedOutput()
	if err != nil {
		logs, _ := filepath.Glob(filepath.Join(work, "data", "*.log"))
		for _, log := range logs {
			said, _ := os.ReadFile(log)
			t.Logf("%s\n%s", log, said)
		}
	}
	require.NoError(t, err, "%s", out)
	for _, want := range []string{
		"cluster \"demo\", as node \"n1\" sees it: term ", "\nn2\n", "\nn1\n", "\nputs     0\ndeletes  0\n",
		ports.Replace("nothing was changed; to do it: kvctl cluster recover --members n3 --apply --admin 127.0.0.1:7073\n"), "\nkept     all that node \"n3\" has",
	} {
		require.Contains(t, string(out), want)
	}
}
