package server

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAConnectionKeepsNoMemoryOfLargeCommands has a command of a megabyte, one of many arguments, and the beginning of another one.
func TestAConnectionKeepsNoMemoryOfLargeCommands(t *testing.T) {
	large := encodeRequest(nil, [][]byte{[]byte("SET"), []byte("k"), bytes.Repeat([]byte("x"), 1<<20)})
	many := encodeRequest(nil, slices.Repeat([][]byte{{}}, 100_000))
	in := newInput(&pieces{slices.Concat(large, many, []byte("*2\r\n$3\r\nGET\r\n$100\r\na"), bytes.Repeat([]byte("b"), 50)), 60_000}, true)
	for requests := 0; requests < 2; {
		require.NoError(t, in.fill())
		for {
			_, err := in.next()
			if err == errMore {
				break
			}
			require.NoError(t, err)
			requests++
		}
	}
	for err := error(nil); err == nil; err = in.fill() {
		_, err := in.next()
		require.Equal(t, errMore, err)
	}
	require.Less(t, cap(in.args), 2*argumentsKept)
	require.Less(t, cap(in.partial.spans), 2*argumentsKept)
	require.Len(t, in.buf, inputSize)
	require.Equal(t, "b", string(in.buf[in.end-1:in.end]), "what has arrived is there")
}

// TestFewOfManySmallCommandsAreTakenAtOnce is about what a large buffer may hold, since each of them takes a hundred bytes.
func TestFewOfManySmallCommandsAreTakenAtOnce(t *testing.T) {
	const commands = 10_000
	s := &session{in: newInput(strings.NewReader(""), true)}
	s.in.buf, s.in.end = bytes.Repeat([]byte("a\n"), commands), 2*commands
	taken := 0
	for more := true; more; {
		var err error
		more, err = s.arrived()
		require.NoError(t, err)
		require.LessOrEqual(t, len(s.requests), requestsAtOnce)
		for _, r := range s.requests {
			require.Equal(t, "a", string(r.args[0]))
		}
		taken += len(s.requests)
		s.forgetRequests()
	}
	require.Equal(t, commands, taken)
	require.ErrorIs(t, s.in.fill(), io.EOF)
}

// TestAQueueOfCommandsCountsWhatItTakes has empty arguments, which take memory, too.
func TestAQueueOfCommandsCountsWhatItTakes(t *testing.T) {
	s := &session{queue: new(queue)}
	many := request{command: &command{name: "mget"}, args: slices.Repeat([][]byte{{}}, 1<<20)}
	for range 10 {
		s.enqueue(&many)
	}
	require.True(t, s.queue.broken)
	require.Empty(t, s.queue.requests, "none of them will run")
	small := request{command: &command{name: "get"}, args: [][]byte{[]byte("get"), []byte("k")}}
	s.enqueue(&small)
	require.Empty(t, s.queue.requests)
	want := "+QUEUED\r\n-ERR transaction is too large\r\n"
	require.Equal(t, want, string(s.out.buf[:len(want)]), fmt.Sprintf("%.100s", s.out.buf))
	require.True(t, bytes.HasSuffix(s.out.buf, []byte("+QUEUED\r\n")))
}

// TestFewOfManyArgumentsAreTakenAtOnce has lines of many words.
func TestFewOfManyArgumentsAreTakenAtOnce(t *testing.T) {
	const lines, words = 100, 30_000
	s := &session{in: newInput(strings.NewReader(""), true)}
	s.in.buf = bytes.Repeat([]byte(strings.Repeat("a ", words-1)+"a\n"), lines)
	s.in.end = len(s.in.buf)
	taken := 0
	for more := true; more; {
		var err error
		more, err = s.arrived()
		require.NoError(t, err)
		require.LessOrEqual(t, len(s.requests), 3)
		taken += len(s.requests)
		s.forgetRequests()
	}
	require.Equal(t, lines, taken)
}
