package differential

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// TestTheEmptyKeyIsRefused is of what Redis holds and Walnut doesn't: streams leave it out.
func TestTheEmptyKeyIsRefused(t *testing.T) {
	target := judged.Target(t, nil, nil)
	if target.Name == "redis-server" {
		t.Skip("Redis holds the empty key")
	}
	c, err := resp.Dial(target.Address)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = c.Must("SET", "k", "v")
	require.NoError(t, err)
	for _, command := range [][]string{
		{"SET", "", "v"},
		{"SETNX", "", "v"},
		{"SETEX", "", "100", "v"},
		{"GETSET", "", "v"},
		{"APPEND", "", "v"},
		{"SETRANGE", "", "1", "v"},
		{"INCR", ""},
		{"INCRBYFLOAT", "", "1"},
		{"MSET", "a", "1", "", "2"},
		{"MSETNX", "a", "1", "", "2"},
		{"RENAME", "k", ""},
		{"RENAMENX", "k", ""},
		{"COPY", "k", ""},
	} {
		reply, err := c.Do(command...)
		require.NoError(t, err)
		require.Regexp(t, "^ERR .*empty", reply.Text, "%q", command)
	}
	for want, command := range map[string][]string{
		"$-1\r\n": {"GET", ""}, ":0\r\n": {"EXISTS", "", "a"}, ":1\r\n": {"DBSIZE"}, "$1\r\nv\r\n": {"GET", "k"},
	} {
		reply, err := c.Do(command...)
		require.NoError(t, err)
		require.Equal(t, want, string(reply.Raw), "%q", command)
	}
}
