package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/walnutkv/walnut/kv"
)

// shownChoices is how many choices are listed at most.
const shownChoices = 20

// completer completes the word before the cursor.
type completer struct {
	db   *kv.DB
	enc  encoding
	root *cobra.Command
}

// completion is what a word can become: text, which begins every choice, and the choices. more is whether there are others.
type completion struct {
	text    string
	choices []string
	more    bool
}

// complete returns the line with its word completed as far as all choices agree. Where that adds nothing it returns the choices,
// a line each.
func (c *completer) complete(line string, pos int) (newLine string, newPos int, choices string) {
	words, open, err := splitWords(line[:pos])
	if err != nil && err != errOpenQuote {
		return line, pos, ""
	}
	if !open {
		words = append(words, shellWord{start: pos})
	}
	word, before := words[len(words)-1], words[:len(words)-1]
	found := c.choose(before, word.text)
	if len(found.choices) == 0 {
		return line, pos, ""
	}
	only := len(found.choices) == 1 && !found.more
	if found.text == word.text && !only {
		return line, pos, found.list()
	}
	completed := line[:word.start] + quoteWord(found.text, only)
	if only {
		completed += " "
	}
	return completed + line[pos:], len(completed), ""
}

func (f completion) list() string {
	var list strings.Builder
	for _, choice := range f.choices {
		fmt.Fprintln(&list, quoteWord(choice, true))
	}
	if f.more {
		fmt.Fprintln(&list, "…")
	}
	return list.String()
}

// choose returns what a word can become after the words before it.
func (c *completer) choose(before []shellWord, word string) completion {
	if len(before) == 0 {
		return among(word, c.commands())
	}
	cmd, _, err := c.root.Find([]string{before[0].text})
	if err != nil || cmd == c.root {
		return completion{}
	}
	last := before[len(before)-1].text
	switch {
	case last == "--prefix" || last == "--start" || last == "--end":
		return c.keys(word)
	case last == "-o" || last == "--output":
		return among(word, []string{outputText, outputJSON})
	case last == "--encoding":
		return among(word, []string{string(encodingUTF8), string(encodingHex), string(encodingBase64)})
	case strings.HasPrefix(word, "-"):
		return among(word, flagNames(cmd))
	case cmd.Name() == "help":
		return among(word, c.commands())
	case cmd.Name() == "del", len(before) == 1 && (cmd.Name() == "get" || cmd.Name() == "put"):
		return c.keys(word)
	}
	return completion{}
}

func (c *completer) commands() []string {
	names := []string{"help"}
	for _, cmd := range c.root.Commands() {
		names = append(names, cmd.Name())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func flagNames(cmd *cobra.Command) (names []string) {
	add := func(flag *pflag.Flag) { names = append(names, "--"+flag.Name) }
	cmd.LocalFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	slices.Sort(names)
	return slices.Compact(names)
}

// among returns the sorted names that a word begins.
func among(word string, names []string) completion {
	var found completion
	for _, name := range names {
		if strings.HasPrefix(name, word) {
			found.choices = append(found.choices, name)
		}
	}
	if len(found.choices) > 0 {
		found.text = common(found.choices[0], found.choices[len(found.choices)-1])
	}
	return found
}

// keys returns the keys that a word begins. In base64 there are none, since a key's text doesn't begin with that of its prefix.
func (c *completer) keys(word string) completion {
	prefix := []byte(word)
	switch c.enc {
	case encodingBase64:
		return completion{}
	case encodingHex:
		var err error
		if prefix, err = hex.DecodeString(word[:len(word)/2*2]); err != nil {
			return completion{}
		}
	}
	r := kv.Range{Prefix: prefix}
	first, _, err := c.db.First(r)
	if err != nil {
		return completion{}
	}
	last, _, err := c.db.Last(r)
	if err != nil {
		return completion{} // It was deleted meanwhile.
	}
	found := completion{text: c.text(agreed(first, last))}
	r.Limit = shownChoices + 1
	for key := range c.db.Scan(r) {
		if len(found.choices) == shownChoices {
			found.more = true
			break
		}
		found.choices = append(found.choices, c.text(key))
	}
	if !strings.HasPrefix(found.text, word) {
		found.text = word // Half a byte in hex.
	}
	return found
}

// text returns a key as it is typed.
func (c *completer) text(key []byte) string {
	if c.enc == encodingHex {
		return hex.EncodeToString(key)
	}
	return string(key)
}

// agreed returns what all keys from first to last begin with, without half a character at its end.
func agreed(first, last []byte) []byte {
	text := []byte(common(string(first), string(last)))
	if !utf8.Valid(first) {
		return text
	}
	for !utf8.Valid(text) {
		text = text[:len(text)-1]
	}
	return bytes.Clone(text)
}

// common returns what both texts begin with.
func common(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}
