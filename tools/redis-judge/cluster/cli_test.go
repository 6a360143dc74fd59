package cluster

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRedisCLI is redis-cli, which looks for the nodes with -c.
func TestRedisCLI(t *testing.T) {
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip(err)
	}
	c := start(t)
	run := func(address, in string, args ...string) string {
		host, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		command := exec.Command("redis-cli", append([]string{"-h", host, "-p", port}, args...)...)
		command.Stdin = strings.NewReader(in)
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	for _, address := range c.addresses() {
		out := run(address, "SET k "+address+"\nGET k\nMULTI\nSET {k}n 1\nINCR {k}n\nEXEC\nCLUSTER KEYSLOT k\nGET k\n", "-c")
		require.Equal(t, []string{"OK", address, "OK", "QUEUED", "QUEUED", "OK", "2", "7629", address}, strings.Fields(out))
	}
	require.Contains(t, run(c.follower(1), "", "CLUSTER", "INFO"), "cluster_state:ok")
	require.Equal(t, "slave", strings.Fields(run(c.follower(1), "", "ROLE"))[0])
	require.Equal(t, "PONG\n", run(c.follower(2), "", "-c", "PING"))
	require.Equal(t, 3, strings.Count(run(c.follower(2), "", "CLUSTER", "NODES"), " connected"))
	check := run(c.follower(1), "", "--cluster", "info", c.follower(1))
	require.Contains(t, check, "16384 slots | 2 slaves")
}
