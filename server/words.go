package server

import "fmt"

// splitWords splits a line into words as Redis does for inline commands and its command line. Words may be quoted: in double quotes
// \n \r \t \b \a \xFF and any escaped byte stand for bytes, in single quotes \' alone. It reports false where a quote isn't closed, or is
// closed in the middle of a word.
func splitWords(line []byte) (words [][]byte, balanced bool) {
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return words, true
		}
		word, size, ok := cutWord(line[i:])
		if !ok {
			return nil, false
		}
		words, i = append(words, word), i+size
	}
}

// cutWord returns the word at the start of a line, and how many bytes of the line it takes.
func cutWord(line []byte) (word []byte, size int, ok bool) {
	word = []byte{}
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case isSpace(c) && c != '\v' && c != '\f': // Which are spaces between words alone.
			return word, i, true
		case c == '"' || c == '\'':
			quoted, n := cutQuoted(line[i:], c)
			if i += n; n == 0 || i < len(line) && !isSpace(line[i]) {
				return nil, 0, false
			}
			return append(word, quoted...), i, true
		default:
			word, i = append(word, c), i+1
		}
	}
	return word, len(line), true
}

// cutQuoted returns what is in quotes at the start of a line, and how many bytes it takes, 0 where the end is missing.
func cutQuoted(line []byte, quote byte) (text []byte, size int) {
	for i := 1; i < len(line); {
		switch c := line[i]; {
		case c == quote:
			return text, i + 1
		case c == '\\' && i+1 < len(line) && (quote == '"' || line[i+1] == '\''):
			b, n := unescape(line[i:])
			text, i = append(text, b), i+n
		default:
			text, i = append(text, c), i+1
		}
	}
	return nil, 0
}

// unescape returns the byte that an escape at the start of a text stands for, and the escape's length.
func unescape(text []byte) (b byte, size int) {
	if text[1] == 'x' && len(text) >= 4 {
		high, okHigh := hexDigit(text[2])
		low, okLow := hexDigit(text[3])
		if okHigh && okLow {
			return high<<4 | low, 4
		}
	}
	switch text[1] {
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'a':
		return '\a', 2
	}
	return text[1], 2
}

func hexDigit(c byte) (value byte, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' || c == 0 }

// appendQuoted appends a word in quotes, as splitWords reads it.
func appendQuoted(to, word []byte) []byte {
	to = append(to, '"')
	for _, c := range word {
		switch {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c < ' ' || c > '~':
			to = fmt.Appendf(to, "\\x%02x", c)
		default:
			to = append(to, c)
		}
	}
	return append(to, '"')
}
