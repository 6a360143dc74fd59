package resp

import (
	"bufio"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRepliesAreReadAsTheyAreWritten(t *testing.T) {
	for _, c := range []struct{ wire, shown string }{
		{"+OK\r\n", `+"OK"`},
		{"-ERR no\r\n", `-"ERR no"`},
		{":-12\r\n", `:"-12"`},
		{"$-1\r\n", "$(null)"},
		{"$0\r\n\r\n", `$""`},
		{"$4\r\na\r\nb\r\n", `$"a\r\nb"`},
		{"*-1\r\n", "*(null)"},
		{"*2\r\n:1\r\n*1\r\n$1\r\na\r\n", `*[:"1" *[$"a"]]`},
		{"_\r\n", "_(null)"},
		{"%1\r\n+a\r\n#t\r\n", `%[+"a" #"t"]`},
		{",1.5\r\n", `,"1.5"`},
		{">1\r\n(123\r\n", `>[("123"]`},
	} {
		reader := bufio.NewReader(strings.NewReader(c.wire + "+next\r\n"))
		reply, err := Read(reader)
		require.NoError(t, err, "%q", c.wire)
		require.Equal(t, c.shown, reply.String())
		require.Equal(t, c.wire, string(reply.Raw))
		next, err := Read(reader)
		require.NoError(t, err)
		require.Equal(t, "next", next.Text)
	}
}

func TestAReplyThatBreaksTheProtocolIsAnError(t *testing.T) {
	for _, wire := range []string{
		"OK\r\n", "+OK\n", "\r\n", ":1.5\r\n", ":01\r\n", "$2\r\nabc\r\n", "$-2\r\n", "*+1\r\n+OK\r\n", "%-1\r\n",
		"#x\r\n",
		"$99999999999\r\n", "*1\r\nx\r\n", "_x\r\n", "+a\rb\r\n",
	} {
		_, err := Read(bufio.NewReader(strings.NewReader(wire)))
		require.ErrorIs(t, err, ErrProtocol, "%q", wire)
	}
}

func TestAReplyThatIsCutIsAnError(t *testing.T) {
	const wire = "*2\r\n$3\r\nabc\r\n:1\r\n"
	for cut := range len(wire) {
		_, err := Read(bufio.NewReader(strings.NewReader(wire[:cut])))
		require.Error(t, err, "%q", wire[:cut])
	}
}
