package server

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
)

// FuzzInput shows that requests are the same however their bytes arrive, that they can be sent again, and that no
// announcement takes memory.
func FuzzInput(f *testing.F) {
	for _, seed := range []string{
		"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n", "PING\r\nSET \"a b\\x41\" 'it\\'s'\r\n",
		"*0\r\n*-1\r\n\r\n", "*x\r\n", "*1048577\r\n",
		"*2\r\n$3\r\nGET\r\n$2147483648\r\n", "*1048576\r\n$1\r\n", "*1\r\n:1\r\n", "*1\r\n$-1\r\n", "GET \"a\r\n",
		"*2\r\n$1\r\na\r\n$0\r\n\r\n",
		"*11\r\n", "*1\r\n$20000\r\n", "* 1\r\n", "*1\n$1\na\n\n", "$1\r\na\r\n", "\x00\r\n\xff\r\n",
		"*1\r\n$3\r\n*1\r\r\nPING\r\n",
	} {
		f.Add([]byte(seed), true, uint16(1))
		f.Add([]byte(seed), false, uint16(7))
	}
	f.Fuzz(func(t *testing.T, sent []byte, known bool, piece uint16) {
		requests, err := parseAll(t, sent, known, len(sent)+1)
		read := len(sent)
		for _, args := range requests {
			read += len(args) * int(unsafe.Sizeof(args[0]))
		}
		allocated.Within(t, read, func() { parseAndForget(newInput(&pieces{sent, int(piece) + 1}, known)) })
		inPieces, errInPieces := parseAll(t, sent, known, int(piece)+1)
		require.Equal(t, requests, inPieces)
		require.Equal(t, err, errInPieces)
		var again []byte
		for _, args := range requests {
			again = encodeRequest(again, args)
		}
		sentAgain, err := parseAll(t, again, known, int(piece)+1)
		if known || err == io.EOF { // Before a client is authenticated, inline commands may be larger than others.
			require.Equal(t, io.EOF, err)
			require.Equal(t, requests, sentAgain)
		}
	})
}

// parseAll returns copies of the requests in some bytes, which arrive in pieces, and the error that ends them.
func parseAll(t *testing.T, sent []byte, known bool, piece int) (requests [][][]byte, err error) {
	in := newInput(&pieces{sent, piece}, known)
	for arrived := 0; ; {
		for {
			args, err := in.next()
			if err == errMore {
				break
			}
			if err != nil {
				return requests, err
			}
			require.NotEmpty(t, args)
			requests = append(requests, cloneAll(args))
		}
		if err := in.fill(); err != nil {
			return requests, err
		}
		arrived += piece
		require.LessOrEqual(t, len(in.buf), max(inputSize, 2*min(arrived, len(sent))))
		require.LessOrEqual(t, cap(in.partial.spans)+cap(in.args), 64+2*len(sent))
	}
}

// parseAndForget reads requests and keeps none.
func parseAndForget(in *input) {
	for {
		_, err := in.next()
		if err == errMore {
			err = in.fill()
		}
		if err != nil {
			return
		}
	}
}

// pieces is a connection from which few bytes at a time arrive.
type pieces struct {
	left  []byte
	piece int
}

func (p *pieces) Read(to []byte) (n int, err error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n = copy(to, p.left[:min(p.piece, len(p.left))])
	p.left = p.left[n:]
	return n, nil
}

func cloneAll(args [][]byte) (cloned [][]byte) {
	for _, arg := range args {
		cloned = append(cloned, append([]byte{}, arg...))
	}
	return cloned
}

func encodeRequest(to []byte, args [][]byte) []byte {
	to = fmt.Appendf(to, "*%d\r\n", len(args))
	for _, arg := range args {
		to = fmt.Appendf(to, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return to
}

// FuzzGlob shows that a pattern's span and shortcuts leave out no key that matches, and that matching agrees with
// trying everything, as does an automaton.
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", "a"},
		{"*ab", "aab"},
		{"user:*", "user:1"},
		{"a*b*c", "axxbxxc"},
		{"[^a-c]?", "dx"},
		{"[z-a]", "m"},
		{`\*`, "*"},
		{`[\]]`, "]"},
		{"[a", "a"},
		{"[^", "x"},
		{"a[b-]c", "a"},
		{`a\`, `a\`},
		{"**a", "a"},
		{"", ""},
		{"[\x80-a]", "\xff"},
		{"*a*a*a*b", "aaaaaaaaaaaaaaaaaa"},
		{"a**", "ab"},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, pattern, text []byte) {
		if len(text) == 0 {
			return // There is no such key.
		}
		want := matchGlob(pattern, text)
		g := newGlob(pattern)
		inSpan := bytes.HasPrefix(text, g.start) && (!g.plain || len(text) == len(g.start))
		require.Equal(t, want, inSpan && g.matches(text), "pattern %q, key %q", pattern, text)
		if bytes.Count(pattern, []byte("*")) <= 4 && len(text) <= 32 {
			require.Equal(t, want, matchSlowly(pattern, text), "pattern %q, key %q", pattern, text)
		}
		if ending := append([]byte("*"), pattern...); len(ending) <= globMax {
			require.Equal(t, matchGlob(ending, text), newAutomaton(ending).matches(text), "pattern %q, key %q", ending, text)
		}
	})
}

// matchSlowly tries everything that each * may stand for.
func matchSlowly(pattern, text []byte) bool {
	if len(pattern) > 0 && pattern[0] == '*' {
		return matchSlowly(pattern[1:], text) || len(text) > 0 && matchSlowly(pattern, text[1:])
	}
	if len(text) == 0 {
		return len(pattern) == 0
	}
	size, ok := matchByte(pattern, text[0])
	return ok && matchSlowly(pattern[size:], text[1:])
}
