package main

import (
	"bufio"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLineIsSplitIntoTheWordsThatItHas(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       []string
		open       bool
	}{
		{"blanks alone", " \t ", nil, false},
		{"words", " put  user:1\tAda ", []string{"put", "user:1", "Ada"}, false},
		{"a word at the end is open", "get us", []string{"get", "us"}, true},
		{"single quotes keep everything", `put 'a "b\n' ''`, []string{"put", `a "b\n`, ""}, true},
		{"double quotes know escapes", `put "a\tb\\\"\x00\xff\'" x `, []string{"put", "a\tb\\\"\x00\xff'", "x"}, false},
		{"quotes inside a word", `a'b c'd`, []string{"ab cd"}, true},
		{"a backslash keeps a blank", `a\ b \n `, []string{"a b", "n"}, false},
		{"bytes that are no UTF-8 stay", "a\xff ", []string{"a\xff"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			words, open, err := splitWords(c.line)
			require.NoError(t, err)
			var texts []string
			for _, word := range words {
				texts = append(texts, word.text)
			}
			require.Equal(t, c.want, texts)
			require.Equal(t, c.open, open)
		})
	}
}

func TestLineThatEndsInsideAWordIsRefused(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"an open single quote", `put 'a`, "a quote isn't closed"},
		{"an open double quote", `put "a`, "a quote isn't closed"},
		{"a backslash at the end", `put a\`, "nothing after a backslash"},
		{"half a byte", `put "\x0`, `\x needs two hexadecimal digits`},
		{"no byte", `put "\xzz"`, `\x needs two hexadecimal digits`},
		{"a sign is no digit", `put "\x+1"`, `\x needs two hexadecimal digits`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := splitWords(c.line)
			require.EqualError(t, err, c.want)
		})
	}
}

func TestRestOfALineThatIsTooLongIsNoCommand(t *testing.T) {
	text := "get a\n" + strings.Repeat("x", 100) + "put b 1\nput c 1\n"
	lines := &pipedLines{lines: lineReader{from: bufio.NewReaderSize(strings.NewReader(text), 16), max: 50}}
	line, err := lines.next("")
	require.NoError(t, err)
	require.Equal(t, "get a", line)
	for range 3 {
		_, err = lines.next("")
		require.ErrorContains(t, err, "longer than 50 bytes")
	}
}

// FuzzShellWord shows that a word that was quoted is read back, whatever its bytes.
func FuzzShellWord(f *testing.F) {
	for _, text := range []string{"", "plain", "two words", `"'\`, "\x00\xff\n", "\ufffd", "ü", "#"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words, _, err := splitWords("get " + quoteWord(text, true) + " ")
		require.NoError(t, err)
		require.Len(t, words, 2)
		require.Equal(t, text, words[1].text)
		if _, _, err := splitWords(text); err == nil {
			return // Any line is split or refused, without a panic.
		}
	})
}
