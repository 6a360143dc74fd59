package server

import (
	"bytes"

	"github.com/walnutkv/walnut/kv"
)

// glob is a pattern of keys as Redis has it: * is any bytes, ? any byte, [a-c] one of some and [^a-c] none of them, and
// \ makes the next byte an ordinary one.
type glob struct {
	pattern []byte
	start   []byte // Every key that matches begins with it.
	special int    // How many bytes the pattern has from its first special one on.
	plain   bool   // Nothing in the pattern is special, so that start is the only key that matches.
	rest    bool   // The pattern is start and a *, so that every key that begins with start matches.
}

func newGlob(pattern []byte) glob {
	g := glob{pattern: pattern}
	for len(pattern) > 0 && !bytes.ContainsAny(pattern[:1], "*?[") {
		if pattern[0] == '\\' && len(pattern) > 1 {
			pattern = pattern[1:]
		}
		g.start = append(g.start, pattern[0])
		pattern = pattern[1:]
	}
	g.special = len(pattern)
	g.plain = len(pattern) == 0
	g.rest = !g.plain && len(bytes.Trim(pattern, "*")) == 0
	return g
}

// globMax is how many bytes a client's pattern has at most from its first special one on.
const globMax = 512

// globSteps is how many bytes of a pattern are compared in about the time that it takes to make an automaton.
const globSteps = 1 << 16

// problem returns why a client's pattern isn't matched, an empty text where it is.
func (g *glob) problem() string {
	if g.special > globMax {
		return "ERR the pattern is longer than 512 bytes from its first *, ? or [ on"
	}
	return ""
}

// span returns a range in which all keys are that match.
func (g *glob) span() kv.Range {
	if g.plain {
		return kv.Range{Start: g.start, End: append(bytes.Clone(g.start), 0)}
	}
	return kv.Range{Prefix: g.start}
}

// matches reports whether a key of the span matches.
func (g *glob) matches(key []byte) bool { return g.rest || g.plain || matchGlob(g.pattern, key) }

// matchGlob reports whether a pattern matches a text. After a * it goes on with the rest of the pattern at each place
// in turn; where another * follows, what the earlier one stood for needs no second look. So it would take time in proportion
// to the product of both lengths at most. Once it has compared more than most patterns need, an automaton goes on.
func matchGlob(pattern, text []byte) bool {
	star, from := -1, 0 // The last * that was met, and where in the text what follows it was tried last.
	p, t := 0, 0
	steps, most := 0, globSteps+4*len(text)
	for t < len(text) {
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, t
			p++
			continue
		}
		size, ok := matchByte(pattern[p:], text[t])
		if ok {
			p, t = p+size, t+1
			continue
		}
		if star < 0 {
			return false
		}
		steps += p + size - star
		if steps > most && len(pattern)-star <= globMax {
			return newAutomaton(pattern[star:]).matches(text[from:])
		}
		from++
		p, t = star+1, from
	}
	return len(bytes.TrimLeft(pattern[p:], "*")) == 0
}

// matchByte reports whether the start of a pattern, which isn't *, matches a byte, and how much of the pattern that
// takes.
func matchByte(pattern []byte, b byte) (size int, ok bool) {
	switch {
	case len(pattern) == 0:
		return 0, false
	case pattern[0] == '?':
		return 1, true
	case pattern[0] == '[':
		return matchSet(pattern, b)
	case pattern[0] == '\\' && len(pattern) > 1:
		return 2, pattern[1] == b
	}
	return 1, pattern[0] == b
}

// matchSet is matchByte for a set in brackets. One that isn't closed ends with the pattern.
func matchSet(pattern []byte, b byte) (size int, ok bool) {
	i := 1
	not := len(pattern) > 1 && pattern[1] == '^'
	if not {
		i++
	}
	in := false
	for ; i < len(pattern); i++ {
		switch left := len(pattern) - i; {
		case pattern[i] == '\\' && left >= 2:
			i++
			in = in || pattern[i] == b
		case pattern[i] == ']':
			return i + 1, in != not
		case left >= 3 && pattern[i+1] == '-':
			in = in || isBetween(b, pattern[i], pattern[i+2])
			i += 2
		default:
			in = in || pattern[i] == b
		}
	}
	return len(pattern), in != not
}

// isBetween reports whether a byte is in the range of two others, in any order. As in Redis' build for x86, bytes of
// 0x80 and more are negative numbers.
func isBetween(b, one, other byte) bool {
	low, high := min(int8(one), int8(other)), max(int8(one), int8(other))
	return int8(b) >= low && int8(b) <= high
}
