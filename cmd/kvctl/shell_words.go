package main

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shellWord is a word of a line typed into a shell.
type shellWord struct {
	text  string // Without quotes and escapes.
	start int    // Where it begins in the line, in bytes.
}

// splitWords divides a line into words at blanks. Single quotes keep everything between them as it is. Double quotes keep
// blanks, and there \n, \t, \r and \xNN are what text output means by them; a backslash before anything else, in double quotes or
// without, stands for that. open is whether the last word isn't finished: the line ends in it, or its quote isn't closed.
func splitWords(line string) (words []shellWord, open bool, err error) {
	for at := 0; ; {
		for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
			at++
		}
		if at == len(line) {
			return words, false, nil
		}
		w := wordReader{line: line, at: at}
		err := w.read()
		words = append(words, shellWord{w.text.String(), at})
		if err != nil || w.at == len(line) {
			return words, true, err
		}
		at = w.at
	}
}

// wordReader reads one word of a line.
type wordReader struct {
	line string
	at   int
	text strings.Builder
}

var errOpenQuote = errors.New("a quote isn't closed")

func (w *wordReader) read() error {
	quote := byte(0)
	for w.at < len(w.line) {
		c := w.line[w.at]
		switch {
		case quote == 0 && (c == ' ' || c == '\t'):
			return nil
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'':
			if err := w.escape(quote == '"'); err != nil {
				return err
			}
			continue
		default:
			w.text.WriteByte(c)
		}
		w.at++
	}
	if quote != 0 {
		return errOpenQuote
	}
	return nil
}

// escape reads a backslash and what it stands for.
func (w *wordReader) escape(quoted bool) error {
	rest := w.line[w.at+1:]
	if rest == "" {
		return errors.New("nothing after a backslash")
	}
	if quoted && rest[0] == 'x' {
		b, err := strconv.ParseUint(rest[1:min(3, len(rest))], 16, 8)
		if err != nil || len(rest) < 3 {
			return errors.New(`\x needs two hexadecimal digits`)
		}
		w.text.WriteByte(byte(b))
		w.at += 4
		return nil
	}
	c := rest[0]
	if letter := strings.IndexByte("ntr", c); quoted && letter >= 0 {
		c = "\n\t\r"[letter]
	}
	w.text.WriteByte(c)
	w.at += 2
	return nil
}

// quoteWord returns text as splitWords reads it back as one word. Where the word isn't complete, its quote stays open.
func quoteWord(text string, complete bool) string {
	plain := func(r rune) bool {
		return unicode.IsPrint(r) && r != utf8.RuneError && r != ' ' && !strings.ContainsRune(`"'\#`, r)
	}
	if text != "" && strings.TrimFunc(text, plain) == "" {
		return text
	}
	quoted := `"` + strings.ReplaceAll(string(appendEscaped(nil, []byte(text))), `"`, `\"`)
	if complete {
		quoted += `"`
	}
	return quoted
}
